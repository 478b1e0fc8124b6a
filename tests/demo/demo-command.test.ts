import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demoCommand } from '../../src/cli/demo-command.ts';
import { walpost } from '../support/walpost-cli.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

/** All that the demo leaves on disk would be under it. Its processes work in it, or name it in their arguments. */
let temporary: string;
beforeAll(async () => {
  temporary = await mkdtemp(join(tmpdir(), 'walpost-demo-test-'));
  // The embedded server may run as another user.
  await chmod(temporary, 0o755);
});
afterAll(() => rm(temporary, { recursive: true, force: true }));

function startDemo(...flags: string[]) {
  const child = spawn(process.execPath, ['--import', 'tsx', main, 'demo', ...flags], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let text = '';
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const seen = new Promise<void>((resolve) => {
    const listen = (chunk: Buffer): void => {
      text += chunk.toString();
      if (/ delivered [1-9]/.test(text)) resolve();
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    void exit.then(() => resolve());
  });
  return { child, exit, firstDelivery: seen, text: () => text };
}

async function leftovers(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const args = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const directory = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (`${args}${directory}`.includes(temporary)) found.push(args.replaceAll('\0', ' '));
  }
  const clusters = await findClusters();
  const demos = (await readdir(temporary)).filter((name) => name.startsWith('walpost-demo-'));
  return [...found, ...clusters, ...demos];
}

async function findClusters(): Promise<string[]> {
  const entries = await readdir(temporary, { withFileTypes: true });
  const roots = entries.filter((entry) => entry.name.startsWith('walpost-postgres-'));
  return (await Promise.all(roots.map((root) => readdir(join(temporary, root.name, 'clusters'))))).flat();
}

describe('walpost demo', { timeout: 60_000 }, () => {
  test('Ctrl-C ends it early, with the comparison, and nothing stays behind', async () => {
    const demo = startDemo('--duration', '10m', '--organizations', '4');
    await demo.firstDelivery;
    // A terminal sends it to all processes of its foreground group.
    process.kill(-(demo.child.pid ?? NaN), 'SIGINT');
    const [code] = await demo.exit;
    expect(demo.text()).toContain('Every committed event arrived');
    expect(code).toBe(0);
    expect(await leftovers()).toEqual([]);
  });

  test('--json prints the comparison alone on standard output', async () => {
    const { code, stdout, stderr } = await walpost(['demo', '--duration', '500ms', '--organizations', '2', '--json'], {
      env: { TMPDIR: temporary },
    });
    expect(code).toBe(0);
    const told = JSON.parse(stdout) as { committed: number };
    expect(told).toMatchObject({ ok: true, delivered: told.committed, missing: 0, relay_failure: null });
    expect(told.committed).toBeGreaterThan(0);
    expect(stderr).toContain('Every committed event arrived');
  });

  test.each([[[]], [['--all-sinks']]])('killed with %j, it still leaves nothing behind', async (flags: string[]) => {
    const demo = startDemo('--duration', '10m', '--organizations', '4', ...flags);
    await demo.firstDelivery;
    expect((await leftovers()).length).toBeGreaterThan(2);
    demo.child.kill('SIGKILL');
    expect(await demo.exit).toEqual([null, 'SIGKILL']);
    // Nothing signals that the last watchdog is done.
    const deadline = performance.now() + 15_000;
    while ((await leftovers()).length > 0 && performance.now() < deadline) await delay(50);
    expect(await leftovers()).toEqual([]);
  });

  test('ends with 1 when walpost is killed, and says where its log is', async () => {
    const demo = startDemo('--duration', '10m', '--organizations', '4');
    await demo.firstDelivery;
    process.kill(await relayPid(), 'SIGKILL');
    const [code] = await demo.exit;
    expect(demo.text()).toContain('walpost ended early (SIGKILL)');
    const log = /^The log of walpost: (.+)$/m.exec(demo.text())?.[1] ?? '';
    expect(await readFile(log, 'utf8')).toContain('streaming');
    expect(code).toBe(1);
  });

  test.each([
    [['--duration', 'soon'], '--duration must be a time'],
    [['--rate', '0'], '--rate must be a whole number'],
    [['--organizations', '1e3'], '--organizations must be a whole number'],
    [['--all-sinks', '--organizations', '201'], '--organizations must be a whole number from 1 to 200'],
  ])('refuses %j before anything starts', async (flags, message) => {
    const refused = demoCommand().parseAsync(flags, { from: 'user' });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ code: 'USAGE' });
  });
});

/** The relay of the only demo that runs in our directory. */
async function relayPid(): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (args.includes('run') && args.some((arg) => arg.startsWith(temporary))) return Number(pid);
  }
  throw new Error('walpost does not run');
}
