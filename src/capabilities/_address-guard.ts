/**
 * Which addresses a tool may connect to: the public Internet, and what the operator allows beyond it. What is not
 * known to be public is not.
 */
import ipaddr from "ipaddr.js";
import { type Destination, type HostRule, matchesHostRule, parseAddress } from "../base/host-rule.ts";

const NAT64 = ipaddr.parseCIDR("64:ff9b::/96") as [ipaddr.IPv6, number];
/** All global unicast addresses assigned so far; ipaddr.js calls more than these "unicast" (`::7f00:1`). */
const GLOBAL_UNICAST = ipaddr.parseCIDR("2000::/3") as [ipaddr.IPv6, number];

/** Public by its number, yet the platform behind a virtual machine: Azure's host agent and its metadata. */
const PLATFORM_ADDRESSES = new Set(["168.63.129.16"]);

/** Says why the destination is refused, for the model; null lets it through. */
export function refuseAddress(destination: Destination, allowPrivate: readonly HostRule[]): string | null {
  const kind = privateKind(destination.address);
  if (kind === null || allowPrivate.some((rule) => matchesHostRule(rule, destination))) return null;
  return `${destination.host} is a ${kind} address, which this tool may not reach`;
}

/** What keeps an address from being public, in words; null when it is. */
export function privateKind(text: string): string | null {
  const address = parseAddress(text);
  if (address === null) return "malformed";
  if (address.kind() === "ipv4") return privateKindOf4(address as ipaddr.IPv4);
  const six = address as ipaddr.IPv6;
  if (six.match(NAT64)) {
    // The last four bytes are the IPv4 address that the translator connects to.
    return privateKindOf4(new ipaddr.IPv4(six.toByteArray().slice(12)));
  }
  const range = six.range();
  if (range !== "unicast") return WORDS[range] ?? "reserved";
  return six.match(GLOBAL_UNICAST) ? null : "reserved";
}

function privateKindOf4(address: ipaddr.IPv4): string | null {
  if (PLATFORM_ADDRESSES.has(address.toString())) return "platform";
  const range = address.range();
  return range === "unicast" ? null : (WORDS[range] ?? "reserved");
}

const WORDS: Record<string, string> = {
  loopback: "loopback",
  private: "private",
  uniqueLocal: "private",
  linkLocal: "link-local",
  carrierGradeNat: "private",
  multicast: "multicast",
  broadcast: "broadcast",
  unspecified: "local",
  deprecatedSiteLocal: "private",
};
