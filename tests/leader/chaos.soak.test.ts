/**
 * Two processes under load and a minute of faults, one after the other: killed, stopped and woken, sessions ended. At
 * the end everything that was committed has arrived in order, and no two of them wrote at the same time.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Scene, type WalpostProcess } from './scene.ts';
import { expectNothingLost, expectOneAtATime } from './expectations.ts';

const DURATION_MS = 60_000;
const SEED = Number(process.env['WALPOST_SEED'] ?? Date.now() % 1_000_000);

/** mulberry32: the same faults again for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test(
  'a minute of faults loses nothing',
  async () => {
    console.info(`seed ${SEED}`);
    const random = randomOf(SEED);
    await using scene = await Scene.set({ takeoverAfter: '1s' });
    const processes = new Map<string, WalpostProcess>();
    for (const name of ['a', 'b']) processes.set(name, await scene.start(name));
    scene.work();

    const faults: Record<string, (name: string, process: WalpostProcess) => Promise<void>> = {
      async kill(name, process) {
        process.signal('SIGKILL');
        await process.cli.result();
        processes.set(name, await scene.start(name));
      },
      async end(name, process) {
        process.signal('SIGTERM');
        expect((await process.cli.result()).code).toBe(0);
        processes.set(name, await scene.start(name));
      },
      async stop(_name, process) {
        process.signal('SIGSTOP');
        await delay(random() * 3_000);
        process.signal('SIGCONT');
      },
      lock: async (name) => scene.terminate(await scene.sessions(name, 'walpost leader')),
      pool: async (name) => scene.terminate(await scene.sessions(name, 'walpost')),
      async stream() {
        const { pid } = await scene.slot();
        if (pid !== null) await scene.terminate([pid]);
      },
    };
    const kinds = Object.keys(faults);
    const done: string[] = [];
    for (const end = performance.now() + DURATION_MS; performance.now() < end;) {
      const name = random() < 0.5 ? 'a' : 'b';
      const kind = kinds[Math.floor(random() * kinds.length)] as string;
      done.push(`${kind} ${name}`);
      await faults[kind]?.(name, processes.get(name) as WalpostProcess);
      await delay(random() * 1_500);
    }
    const count = await scene.rest();
    await scene.delivered(30_000);
    const history = await scene.history();
    console.info(
      `${done.length} faults, ${count} events, ${scene.arrivals.length} deliveries, ${history.at(-1)?.epoch} epochs`,
    );
    for (const [name, { cli }] of processes) expect(cli.child.exitCode, `${name}: ${cli.stderr}`).toBeNull();
    expectNothingLost(scene);
    expectOneAtATime(history);
  },
  DURATION_MS + 90_000,
);
