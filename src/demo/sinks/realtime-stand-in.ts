import { randomBytes } from 'node:crypto';
import type { Arrival } from '../audit.ts';
import { LoopbackServer } from '../loopback-server.ts';
import { arrivalOf, type DemoPlace, type DemoSink } from './demo-sink.ts';

const ROUTE = /^\/realtime\/v1\/api\/broadcast\/notifications%3Aorg_([^/]+)\/events\/([^/?]+)\?private=true$/;

/** Stands in for the route of Supabase Realtime that takes one broadcast. The channel says the organization. */
export async function openRealtime({ tamper }: DemoPlace): Promise<DemoSink> {
  const key = randomBytes(24).toString('hex');
  const arrivals: Arrival[] = [];
  const server = new LoopbackServer((request, body) => {
    if (request.headers['apikey'] !== key) return { status: 401, body: { message: 'Unauthorized' } };
    const [, organizationId] = ROUTE.exec(request.url ?? '') ?? [];
    if (request.method !== 'POST' || organizationId === undefined) return { status: 404 };
    arrivals.push(...tamper('realtime', [{ ...arrivalOf(body.toString('utf8')), organizationId }]));
    return { status: 202 };
  });
  const origin = await server.listen();
  return {
    options: { type: 'realtime', url: origin, key, allow_private: true },
    statuses: ['shipped'],
    isSequence: true,
    arrivals: () => Promise.resolve(arrivals),
    close: () => server.close(),
  };
}
