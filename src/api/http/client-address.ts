/**
 * From where a request comes. The socket says it; behind a proxy that the operator named, X-Forwarded-For does:
 * its last entry that is no such proxy. What a stranger writes into that header counts for nothing.
 */
import { BlockList } from "node:net";
import ipaddr from "ipaddr.js";
import { parseAddressRange } from "../../base/address-range.ts";

export interface ClientAddresses {
  /** Called once, by whoever owns the socket, before the request is served. */
  note(request: Request, socketAddress: string | null): void;
  /** null when nobody noted one: the request came from a test, not from a socket. */
  of(request: Request): string | null;
}

/** @param trustedProxies  addresses and ranges: `127.0.0.1`, `10.0.0.0/8` */
export function createClientAddresses(trustedProxies: readonly string[]): ClientAddresses {
  const trusted = new BlockList();
  for (const text of trustedProxies) {
    const range = parseAddressRange(text);
    if (range) trusted.addSubnet(range.address, range.bits, range.family);
  }
  const isTrusted = (address: string) => trusted.check(address, address.includes(":") ? "ipv6" : "ipv4");
  const addresses = new WeakMap<Request, string>();
  return {
    note(request, socketAddress) {
      const own = socketAddress === null ? null : plain(socketAddress);
      if (own === null) return;
      const forwarded = trustedProxies.length > 0 && isTrusted(own) ? forwardedFor(request) : [];
      // Read from the right: each proxy appends whom it spoke with.
      addresses.set(request, forwarded.findLast((address) => !isTrusted(address)) ?? own);
    },
    of: (request) => addresses.get(request) ?? null,
  };
}

/** Entries to the right of one that is no address are kept: the proxies wrote them. */
function forwardedFor(request: Request): string[] {
  const entries = (request.headers.get("x-forwarded-for") ?? "")
    .split(",")
    .map((entry) => plain(entry.trim()));
  return entries.slice(entries.lastIndexOf(null) + 1) as string[];
}

/** In one spelling, an IPv4 address never as IPv6; null when it is none. */
function plain(text: string): string | null {
  return ipaddr.isValid(text) ? ipaddr.process(text).toString() : null;
}
