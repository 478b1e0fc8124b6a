import { Command } from 'commander';
import { wantsColor } from '../observe/color.ts';
import { printableJson } from '../observe/printable.ts';
import { type ConfigFlags, readConfig, withConfigOptions } from './config-options.ts';
import { EXIT } from './exit-code.ts';
import type { GatheredStatus } from './gather-status.ts';

interface StatusFlags extends ConfigFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
}

const WATCH_MS = 2_000;
const CLEAR = '\x1b[H\x1b[J';

export function statusCommand(): Command {
  return withConfigOptions(new Command('status'))
    .description('Show the leader, the slot, the lag, lanes, breakers and what is stored.')
    .helpGroup('Run:')
    .option('--json', 'as JSON; with --watch one line each time')
    .option('-w, --watch', 'again every two seconds, until Ctrl-C')
    .action(showStatus);
}

async function showStatus(flags: StatusFlags): Promise<void> {
  const config = await readConfig(flags);
  const { gatherStatus } = await import('./gather-status.ts');
  const { statusText } = await import('./status-view.ts');
  const { terminalWidth } = await import('./text-table.ts');
  const live = flags.watch && process.stdout.isTTY && !flags.json;
  const show = async (): Promise<void> => {
    const status = await gatherStatus(config);
    const text = flags.json
      ? jsonText(status, flags.watch === true)
      : statusText(status, wantsColor(process.stdout), terminalWidth(process.stdout));
    process.stdout.write(live ? CLEAR + text : text);
    const asked = status.process === 'answered' || status.database === 'answered';
    process.exitCode = asked ? EXIT.done : EXIT.failed;
  };
  await show();
  if (!flags.watch) return;
  const [{ pause, systemClock }, stop] = [await import('../clock.ts'), new AbortController()];
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  for (;;) {
    await pause(systemClock, WATCH_MS, stop.signal);
    if (stop.signal.aborted) return void (process.exitCode = EXIT.done);
    await show();
  }
}

function jsonText(status: GatheredStatus, oneLine: boolean): string {
  const { report, notes, process, database } = status;
  return `${printableJson({ ...report, asked: { process, database }, notes }, oneLine ? 0 : 2)}\n`;
}
