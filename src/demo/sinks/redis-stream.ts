import { Redis } from 'ioredis';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';
import { startRedis } from './redis-server.ts';

/** A stream of Redis. */
export async function openRedis(place: DemoPlace, program: string): Promise<DemoSink> {
  const { port, url, stop } = await startRedis(place, program, 'redis');
  const client = new Redis({ host: '127.0.0.1', port });
  client.on('error', () => undefined);
  return {
    options: { type: 'redis', url },
    statuses: ['paid'],
    isSequence: true,
    async arrivals() {
      const entries = await client.xrange('walpost:orders', '-', '+');
      return entries.map(([, fields]) => arrivalOf(fields[fields.indexOf('envelope') + 1] ?? ''));
    },
    async close() {
      client.disconnect();
      await stop();
    },
  };
}
