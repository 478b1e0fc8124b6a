/**
 * Keeps a sink from connecting to the network that walpost runs in.
 *
 * A webhook's URL often comes from a customer, and walpost often runs beside a database and a cloud's metadata service.
 * So unless a sink has `allow_private`, it connects only to globally routable unicast addresses. The check is made on the
 * address of the connection itself: a name is resolved once, and the connection goes to an address of that answer which
 * passed. So a later answer of DNS (DNS rebinding) has no effect. Names are checked in `lookup`; IP literals, which skip
 * `lookup`, are checked before.
 *
 * With a proxy it is the proxy that resolves names and connects. Only literals are refused then; the rest is the proxy's. For
 * URLs that customers write (`checksBehindProxy`) the name is resolved here too, and the proxy is asked for the address that passed.
 *
 * IPv6 addresses that represent IPv4 ones (mapped, NAT64, 6to4, Teredo, the old ::a.b.c.d) are all refused: a translator
 * that walpost cannot see decides what they reach.
 */
import { lookup as systemLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { isIP, isIPv6, type LookupFunction, type Socket } from 'node:net';
import { buildConnector } from 'undici';
import { isLoopback } from '../../loopback.ts';
import { isRefusedAddress, isRefusedHost } from '../../refused-address.ts';
import { connectToAny } from './connect-race.ts';
import { openTunnel } from './proxy-tunnel.ts';
import { skipContinue } from './skip-continue.ts';

/** The error code of a refused connection. */
export const ADDRESS_REFUSED = 'WALPOST_ADDRESS_REFUSED';

class AddressRefusedError extends Error {
  readonly code = ADDRESS_REFUSED;
}

const KEEP_ALIVE_MS = 60_000;

type AnyLookup = Lookup | LookupFunction;
type Lookup = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

type Refuses = (address: string) => boolean;

/** A `lookup` for sockets that returns only allowed addresses. */
export function guardedLookup(lookup: Lookup, refuses: Refuses = isRefusedAddress): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const allowed = addresses.filter(({ address }) => !refuses(address));
      const [first] = allowed;
      if (!first) return callback(new AddressRefusedError('every address of the name is private'), []);
      if (options.all) return callback(null, allowed);
      callback(null, first.address, first.family);
    });
  };
}

export interface ConnectorOptions {
  readonly allowPrivate: boolean;
  /** Without allowPrivate: this machine, and nothing else that is private. */
  readonly allowLoopback?: boolean | undefined;
  /** The address is checked here although a proxy connects; it is what the proxy is asked for. */
  readonly checksBehindProxy?: boolean | undefined;
  /** Maximum milliseconds for connecting. */
  readonly timeout: number;
  /** Resolves names; the system's resolver. */
  readonly lookup?: Lookup;
  /** Goes through this proxy, which then resolves the name. */
  readonly proxy?: URL | undefined;
  /** PEM of the authorities to trust, in place of the usual ones. */
  readonly ca?: string | undefined;
}

/** How an undici agent of a sink connects. */
export function guardedConnector(options: ConnectorOptions): buildConnector.connector {
  const { timeout, ca } = options;
  const secure = buildConnector({ timeout, ...(ca !== undefined && { ca }) });
  return (target, connected) => {
    openSocket(target, options).then(
      (socket) => {
        if (target.protocol !== 'https:') return connected(null, skipContinue(socket));
        secure({ ...target, httpSocket: socket }, (...[error, encrypted]) => {
          if (error) connected(error, null);
          else connected(null, skipContinue(encrypted));
        });
      },
      (error: Error) => connected(error, null),
    );
  };
}

/** A connection without HTTP, for a sink of another protocol; throws as the connector does. */
export function openGuarded(
  { host, port }: { readonly host: string; readonly port: number },
  options: ConnectorOptions,
): Promise<Socket> {
  return openSocket({ hostname: host, port: String(port), protocol: 'tcp:' }, options);
}

async function openSocket(target: buildConnector.Options, options: ConnectorOptions): Promise<Socket> {
  const { allowPrivate, timeout, proxy, lookup = systemLookup } = options;
  const port = Number(target.port) || (target.protocol === 'https:' ? 443 : 80);
  const refuses: Refuses = (address) =>
    isRefusedAddress(address) && !(options.allowLoopback === true && isLoopback(address));
  const checked = (host: string): Promise<LookupAddress[]> =>
    addressesOf(host, guardedLookup(lookup, refuses), refuses);
  const reach = async (host: string, at: number, isGuarded: boolean): Promise<Socket> => {
    const addresses = await (isGuarded ? checked(host) : addressesOf(host, lookup));
    const socket = await connectToAny(addresses, { port: at, timeout });
    return socket.setKeepAlive(true, KEEP_ALIVE_MS).setNoDelay(true);
  };
  const host = target.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!proxy) return reach(host, port, !allowPrivate);
  const checks = options.checksBehindProxy === true;
  if (!allowPrivate && !checks && isRefusedHost(host)) throw new AddressRefusedError('the address is private');
  const asked = checks ? ((await checked(host))[0]?.address ?? host) : host;
  const authority = isIPv6(asked) ? `[${asked}]:${port}` : `${asked}:${port}`;
  return openTunnel({ proxy, authority, timeout, reach: (name, at) => reach(name, at, false) });
}

/** A literal skips the lookup, so it is checked here. */
async function addressesOf(host: string, lookup: AnyLookup, refuses?: Refuses): Promise<LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) {
    if (refuses?.(host) === true) throw new AddressRefusedError('the address is private');
    return [{ address: host, family }];
  }
  return new Promise((resolve, reject) => {
    lookup(host, { all: true }, (error, found) => (error ? reject(error) : resolve(found as LookupAddress[])));
  });
}
