/**
 * Which private hosts an operator lets the server reach: `localhost:11434`, `*.internal`, `10.1.2.3`,
 * `192.168.0.0/16`, `[fd00::1]:8080`. A name matches as it is written in a URL; an address or range matches what a
 * name resolved to.
 */
import ipaddr from "ipaddr.js";

type Address = ipaddr.IPv4 | ipaddr.IPv6;

export type HostRule =
  /** `isSuffix`: the name and everything below it. */
  | { kind: "name"; name: string; isSuffix: boolean; port: number | null }
  | { kind: "range"; address: Address; bits: number; port: number | null };

/** Where a connection would go. */
export interface Destination {
  /** Host of the URL: lowercase, without brackets and final dot. */
  host: string;
  port: number;
  /** The address that the host resolved to. */
  address: string;
}

/** null when the text is no rule. */
export function parseHostRule(text: string): HostRule | null {
  const { host, port } = splitPort(text.trim().toLowerCase());
  if (host === null || port === false) return null;
  const range = parseRange(host);
  if (range) return { kind: "range", ...range, port };
  const isSuffix = host.startsWith("*.");
  const name = isSuffix ? host.slice(2) : host;
  // Digits and dots alone would be an address, and it is not one.
  if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name) || /^[0-9.]+$/.test(name)) return null;
  return { kind: "name", name, isSuffix, port };
}

export function matchesHostRule(rule: HostRule, destination: Destination): boolean {
  if (rule.port !== null && rule.port !== destination.port) return false;
  if (rule.kind === "name") {
    return destination.host === rule.name || (rule.isSuffix && destination.host.endsWith(`.${rule.name}`));
  }
  const address = parseAddress(destination.address);
  return address !== null && address.kind() === rule.address.kind() && inRange(address, rule);
}

/** null when the text is no address. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address. */
export function parseAddress(text: string): Address | null {
  try {
    return ipaddr.process(text);
  } catch {
    return null;
  }
}

function parseRange(text: string): { address: Address; bits: number } | null {
  const [addressText = "", bitsText, ...rest] = text.split("/");
  if (rest.length > 0 || !(ipaddr.IPv4.isValidFourPartDecimal(addressText) || addressText.includes(":"))) {
    return null;
  }
  const address = parseAddress(addressText);
  if (address === null) return null;
  const all = address.kind() === "ipv4" ? 32 : 128;
  if (bitsText === undefined) return { address, bits: all };
  const bits = /^\d{1,3}$/.test(bitsText) ? Number(bitsText) : all + 1;
  return bits <= all ? { address, bits } : null;
}

function inRange(address: Address, rule: { address: Address; bits: number }): boolean {
  return address.kind() === "ipv4"
    ? (address as ipaddr.IPv4).match(rule.address as ipaddr.IPv4, rule.bits)
    : (address as ipaddr.IPv6).match(rule.address as ipaddr.IPv6, rule.bits);
}

/** `port` false: there is one, and it is none. */
function splitPort(text: string): { host: string | null; port: number | null | false } {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/.exec(text);
  if (bracketed) return { host: bracketed[1] ?? null, port: toPort(bracketed[2]) };
  const colons = text.split(":").length - 1;
  // More than one colon without brackets: an IPv6 address alone.
  if (colons !== 1) return { host: text || null, port: null };
  const at = text.indexOf(":");
  return { host: text.slice(0, at) || null, port: toPort(text.slice(at + 1)) };
}

function toPort(text: string | undefined): number | null | false {
  if (text === undefined) return null;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : false;
}
