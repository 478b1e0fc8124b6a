import { beforeAll, describe, expect, test, vi } from 'vitest';
import { parseLsn } from '../../src/lsn.ts';
import { poll } from '../support/slot-session.ts';
import { Deployment } from './deployment.ts';
import { buildImage, engineMissing } from './engine.ts';
import { engineContainer } from './replica.ts';
import { Writers } from './writers.ts';

vi.setConfig({ testTimeout: 180_000 }); // each of them starts four containers or more

const missing = await engineMissing();
const TOTAL = 20_000;

interface PrintedEvent {
  readonly event_id?: string;
  readonly lsn?: string;
}

async function publish(deployment: Deployment): Promise<string> {
  const [row] = await deployment.query<{ id: string }>(`SELECT walpost.publish(gen_random_uuid(), 'a.b', '{}') AS id`);
  return row?.id ?? '';
}

async function confirmed(deployment: Deployment): Promise<bigint> {
  const [row] = await deployment.query<{ lsn: string }>('SELECT confirmed_flush_lsn AS lsn FROM pg_replication_slots');
  return parseLsn(row?.lsn ?? '') ?? 0n;
}

describe.skipIf(missing !== undefined)(`in containers${missing === undefined ? '' : ` (${missing})`}`, () => {
  let image = '';
  beforeAll(async () => void (image = await buildImage()), 400_000);

  test('the image starts beside a Postgres, delivers, and its health check passes', async () => {
    await using deployment = await Deployment.start(image);
    const walpost = await deployment.walpost();
    const id = await publish(deployment);
    await deployment.arrivals.reach(1);
    expect([...deployment.arrivals.byOrganization().values()]).toEqual([[id]]);
    const { Config } = await walpost.inspect();
    const [kind, ...command] = Config.Healthcheck?.Test ?? [];
    expect(kind).toBe('CMD');
    expect((await walpost.container.exec(command)).exitCode).toBe(0);
  });

  test('it runs as a user without rights on a file system that nobody can write', async () => {
    await using deployment = await Deployment.start(image);
    const walpost = await deployment.walpost();
    const status = (await walpost.container.exec(['cat', '/proc/1/status'])).stdout;
    const field = (name: string): string => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '';
    expect(field('Uid').split('\t')).toEqual(['1000', '1000', '1000', '1000']);
    expect(['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((name) => BigInt(`0x${field(name)}`))).toEqual([
      0n,
      0n,
      0n,
      0n,
      0n,
    ]);
    expect(field('NoNewPrivs')).toBe('1');
    const written = await walpost.container.exec(['touch', '/app/x', '/tmp/x', '/etc/x'], { user: 'root' });
    expect(written.output.match(/Read-only file system/g)).toHaveLength(3);
    await publish(deployment);
    await deployment.arrivals.reach(1);
  });

  test('docker stop ends in time, and what was on its way is delivered and confirmed', async () => {
    await using deployment = await Deployment.start(image);
    const walpost = await deployment.walpost();
    const receiver = await engineContainer(deployment.receiver);
    await receiver.pause();
    const id = await publish(deployment);
    await poll('on its way', async () => (await walpost.sending()) > 0 || undefined);
    const stopping = walpost.stop();
    await walpost.log.until('it was told to stop', () => walpost.log.lines.some((line) => /told to stop/.test(line)));
    await receiver.unpause();
    const { code, took } = await stopping;
    expect(code).toBe(0);
    expect(took).toBeLessThan(walpost.grace * 1_000);
    await deployment.arrivals.reach(1);
    const printed = walpost.log.lines.map((line) => JSON.parse(line) as PrintedEvent);
    const lsn = printed.find(({ event_id: event }) => event === id)?.lsn;
    expect(await confirmed(deployment)).toBeGreaterThan(parseLsn(lsn ?? '') ?? 2n ** 64n);
    process.stdout.write(`stopped after ${took.toFixed(0)} ms\n`);
  });

  test(`${TOTAL} events over two replicas, one killed, and a restart of Postgres: none is lost, and the order holds`, async () => {
    await using deployment = await Deployment.start(image);
    const { arrivals } = deployment;
    const replicas = await Promise.all([deployment.walpost(), deployment.walpost()]);
    const roles = await Promise.all(replicas.map((replica) => replica.role()));
    expect(roles.toSorted()).toEqual(['leader', 'standby']);
    const writers = new Writers(deployment, TOTAL);
    const writing = writers.write();
    writing.catch(() => undefined); // it is awaited below, where the test comes that far
    await arrivals.reach(4_000);
    await replicas[roles.indexOf('leader')]?.kill();
    expect(writers.written).toBeLessThan(TOTAL / 2);
    await arrivals.reach(9_000);
    await deployment.postgres.restart({ timeout: 10_000 });
    expect(writers.written).toBeLessThan(TOTAL);
    await writing;
    const committed = await deployment.query<{ organization: string; ids: string[] }>(
      `SELECT organization_id::text AS organization, array_agg(event_id::text ORDER BY seq) AS ids
         FROM walpost.outbox GROUP BY organization_id`,
    );
    const count = committed.reduce((sum, { ids }) => sum + ids.length, 0);
    expect(count).toBeGreaterThanOrEqual(TOTAL);
    await arrivals.reach(count, 120_000);
    const arrived = arrivals.byOrganization();
    const wrong = committed.filter(({ organization, ids }) => ids.join() !== arrived.get(organization)?.join());
    expect(wrong.map(({ organization }) => organization)).toEqual([]);
    expect(arrivals.count).toBe(count);
    expect(await replicas[roles.indexOf('standby')]?.role()).toBe('leader');
    process.stdout.write(`${count} events, ${writers.unknown} transactions cut\n`);
  }, 480_000);
});
