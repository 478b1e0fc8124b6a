/** Addresses that only the network of walpost itself reaches. A sink connects to none of them unless it is allowed to. */
import ipaddr from 'ipaddr.js';

/** Everything that is not a globally routable unicast address, and everything that is no address at all. */
export function isRefusedAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return true;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return true;
  return parsed.kind() === 'ipv6' && !parsed.match(ipaddr.IPv6.parseCIDR('2000::/3'));
}

/** A host that can be refused without DNS: a private literal in any spelling, or localhost. */
export function isRefusedHost(host: string): boolean {
  const bare = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
  if (bare === 'localhost' || bare.endsWith('.localhost')) return true;
  return ipaddr.isValid(bare) && isRefusedAddress(bare);
}
