import { Queue } from 'bullmq';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';
import { startRedis } from './redis-server.ts';

/** A queue of BullMQ that no worker takes jobs from. */
export async function openBullmq(place: DemoPlace, program: string): Promise<DemoSink> {
  const { port, url, stop } = await startRedis(place, program, 'bullmq');
  const queue = new Queue('orders', { connection: { host: '127.0.0.1', port } });
  queue.on('error', () => undefined);
  return {
    options: { type: 'bullmq', url },
    statuses: ['paid'],
    isSequence: true,
    async arrivals() {
      const oldestFirst = true;
      const jobs = await queue.getJobs(['waiting'], 0, -1, oldestFirst);
      return jobs.map(({ data }) => arrivalOf(JSON.stringify(data)));
    },
    async close() {
      await queue.close().catch(() => undefined);
      await stop();
    },
  };
}
