/** What a killed leader leaves on the slot, where the server does not get rid of it. */
import { expect, test } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase } from '../support/database.ts';

test('a walsender that does not end is named, and waited for until it has ended', async () => {
  await using database = await createTestDatabase();
  const options = { database, sinks: { log: { type: 'stdout' } } };
  await using killed = await RunningWalpost.start(options);
  const [slot] = await database.query<{ pid: number }>(
    'SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1',
    [database.slotName],
  );
  const pid = slot?.pid ?? 0;
  expect(pid).toBeGreaterThan(0);
  process.kill(pid, 'SIGSTOP');
  try {
    await killed.stop('SIGKILL');
    await using next = new RunningWalpost(options);
    await next.cli.prints(/"code":"SLOT_STILL_HELD"/);
    expect(next.cli.stderr).toContain(`Slot \\"${database.slotName}\\", process ${pid}.`);
    expect(await (await fetch(`${next.url}/readyz`)).text()).toContain('has not ended yet');
    process.kill(pid, 'SIGCONT');
    expect(next.cli.stderr).toContain(
      '"remedy":"Wait some seconds. If it stays, look at that process on the server: it may be stopped',
    );
    await next.cli.prints(/"msg":"streaming from/);
  } finally {
    endStop(pid);
  }
});

/** The server's process, if it is still there. */
function endStop(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended, as it should.
  }
}
