import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';

/** A port on loopback that nobody has at this moment, for a server that cannot choose one itself. */
export async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
