import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../free-port.ts';
import type { DemoPlace } from './demo-sink.ts';
import { ServerProgram } from './server-program.ts';

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts a Redis that keeps its data in memory. Without a configuration file there are only these settings. */
export async function startRedis(place: DemoPlace, program: string, name: string): Promise<RedisServer> {
  const { directory, clock } = place;
  const port = await freePort();
  const home = join(directory, name);
  await mkdir(home);
  const args = ['--bind', '127.0.0.1', '--port', String(port), '--dir', home, '--save', '', '--appendonly', 'no'];
  const server = await ServerProgram.start({ program, args, directory: home, ready: 'Ready to accept', clock });
  return { port, url: `redis://127.0.0.1:${port}`, stop: () => server.stop() };
}
