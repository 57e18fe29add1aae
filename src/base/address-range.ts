import ipaddr from "ipaddr.js";

export interface AddressRange {
  address: string;
  bits: number;
  family: "ipv4" | "ipv6";
}

/** `127.0.0.1`, `10.0.0.0/8`, `::1`; null when the text is no address and no range. */
export function parseAddressRange(text: string): AddressRange | null {
  const [address = "", bits] = text.split("/");
  // ipaddr.js takes the short forms of old, too: `10.1` is 10.0.0.1 there, and a typing error here.
  if (!(ipaddr.IPv6.isValid(address) || ipaddr.IPv4.isValidFourPartDecimal(address))) return null;
  if (bits !== undefined && !ipaddr.isValidCIDR(text)) return null;
  const family = ipaddr.parse(address).kind();
  return { address, bits: bits === undefined ? (family === "ipv4" ? 32 : 128) : Number(bits), family };
}
