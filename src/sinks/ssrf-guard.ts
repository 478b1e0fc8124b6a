/**
 * Keeps a sink from reaching into the network it runs in.
 *
 * A webhook's URL often comes from a customer, and walpost often runs beside a database and a cloud's metadata service.
 * So unless a sink says `allow_private`, it connects to globally routable unicast addresses and to nothing else. That is
 * checked where the connection is made, on the very address it is made to: a name is resolved once and the connection
 * goes to an address of that answer which passed, so an answer that changes afterwards (DNS rebinding) changes nothing.
 * Two doors lead to a connection, and both are guarded: names go through `lookup`, IP literals do not.
 *
 * IPv6 addresses that stand for IPv4 ones (mapped, NAT64, 6to4, Teredo, the old ::a.b.c.d) are refused as a whole:
 * what they reach is up to a translator that we cannot see.
 */
import { lookup as systemLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { buildConnector } from 'undici';

/** The code of the error that a refused connection ends with. */
export const ADDRESS_REFUSED = 'WALPOST_ADDRESS_REFUSED';

class AddressRefusedError extends Error {
  readonly code = ADDRESS_REFUSED;
}

/** Everything that is not a globally routable unicast address, and everything that is no address at all. */
export function isRefusedAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return true;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return true;
  return parsed.kind() === 'ipv6' && !parsed.match(ipaddr.IPv6.parseCIDR('2000::/3'));
}

/** A host that needs no DNS to be refused: a private literal in any spelling, or localhost. */
export function isRefusedHost(host: string): boolean {
  const bare = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
  if (bare === 'localhost' || bare.endsWith('.localhost')) return true;
  return ipaddr.isValid(bare) && isRefusedAddress(bare);
}

type Lookup = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** A `lookup` for sockets that gives them only addresses that may be reached. */
export function guardedLookup(lookup: Lookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const allowed = addresses.filter(({ address }) => !isRefusedAddress(address));
      const [first] = allowed;
      if (!first) return callback(new AddressRefusedError('every address of the name is private'), []);
      if (options.all) return callback(null, allowed);
      callback(null, first.address, first.family);
    });
  };
}

export interface ConnectorOptions {
  readonly allowPrivate: boolean;
  /** Milliseconds until a connection that is not there is given up. */
  readonly timeout: number;
  /** Resolves names; the system's resolver. */
  readonly lookup?: Lookup;
}

/** How an undici agent of a sink connects. */
export function guardedConnector(options: ConnectorOptions): buildConnector.connector {
  const { allowPrivate, timeout, lookup = systemLookup } = options;
  if (allowPrivate) return buildConnector({ timeout });
  const connect = buildConnector({ timeout, lookup: guardedLookup(lookup) });
  return (target, callback) => {
    if (isIP(target.hostname) !== 0 && isRefusedAddress(target.hostname)) {
      queueMicrotask(() => callback(new AddressRefusedError('the address is private'), null));
      return;
    }
    connect(target, callback);
  };
}
