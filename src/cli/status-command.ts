import { Command } from 'commander';
import { endpointSinks } from '../config/endpoint-sinks.ts';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { wantsColor } from '../observe/color.ts';
import { printableJson } from '../observe/printable.ts';
import { type ConfigFlags, readConfigWithoutSecrets, withConfigOptions } from './config-options.ts';
import { EXIT } from './exit-code.ts';
import type { GatheredStatus } from './gather-status.ts';
import type { StatusChanges } from './status-changes.ts';

interface StatusFlags extends ConfigFlags {
  readonly json?: boolean;
  /** An interval, or true for the usual one. */
  readonly watch?: string | true;
  readonly check?: boolean;
}

const WATCH_MS = 2_000;
const SHORTEST_WATCH_MS = 200;
const CLEAR = '\x1b[H\x1b[J';

export function statusCommand(): Command {
  return withConfigOptions(new Command('status'))
    .description('Show the leader, the slot, what holds it back, lanes, breakers, what is stored, and alerts.')
    .helpGroup('Run:')
    .option('--json', 'as JSON; with --watch one line each time')
    .option('-w, --watch [interval]', 'again every 2s, or so often, with what changed; until Ctrl-C')
    .option('--check', 'one line, OK, WARNING or CRITICAL; exit code 0 when OK, else 3')
    .action(showStatus);
}

async function showStatus(flags: StatusFlags): Promise<void> {
  const every = await interval(flags);
  const config = await readConfigWithoutSecrets(flags);
  const [{ gatherStatus }, { WalRate }] = await Promise.all([
    import('./gather-status.ts'),
    import('../relay/status/wal-budget.ts'),
  ]);
  if (flags.check) {
    const { checkStatus } = await import('./status-check.ts');
    const { line, exitCode } = checkStatus(await gatherStatus(config));
    process.stdout.write(`${line}\n`);
    process.exitCode = exitCode;
    return;
  }
  const rate = new WalRate();
  const show = await shower(config, flags);
  const look = (): Promise<GatheredStatus> => gatherStatus(config, rate);
  if (every === undefined) return show(await look());
  const { watch } = await import('./watch.ts');
  await watch(look, show, { everyMs: every, isPage: isPage(flags) });
}

/** Each status takes the place of the one before. */
function isPage({ watch, json }: StatusFlags): boolean {
  return watch !== undefined && process.stdout.isTTY && !json;
}

/** Prints one status after the other, from the second one on with what changed. */
async function shower({ sinks }: Config, flags: StatusFlags): Promise<(status: GatheredStatus) => void> {
  const [{ statusChanges }, { statusText }, { heightOf, lowered, terminalWidth }] = await Promise.all([
    import('./status-changes.ts'),
    import('./status-view.ts'),
    import('./text-table.ts'),
  ]);
  const look = () => ({
    color: wantsColor(process.stdout),
    width: terminalWidth(process.stdout),
    endpointSinks: endpointSinks(sinks),
  });
  const watched = flags.watch !== undefined;
  const live = isPage(flags);
  let last: { readonly status: GatheredStatus; readonly at: number; readonly changes?: StatusChanges } | undefined;
  return (status) => {
    const at = performance.now();
    // A terminal that was resized shows the same status again.
    const isAgain = last?.status === status;
    const changes = isAgain
      ? last?.changes
      : last && statusChanges(last.status.report, status.report, (at - last.at) / 1000);
    const isFirst = last === undefined;
    if (!isAgain) last = { status, at, ...(changes && { changes }) };
    const text = flags.json ? jsonText(status, watched, changes) : statusText(status, { ...look(), changes, watched });
    if (live) process.stdout.write(CLEAR + lowered(text, heightOf(process.stdout)));
    else process.stdout.write(watched && !flags.json && !isFirst ? `\n${text}` : text);
    const asked = status.process === 'answered' || status.database === 'answered';
    process.exitCode = asked ? EXIT.done : EXIT.failed;
  };
}

/** Milliseconds; undefined without --watch. */
async function interval({ watch, check, json }: StatusFlags): Promise<number | undefined> {
  if (check && (watch !== undefined || json)) {
    throw new WalpostError('USAGE', { detail: '--check prints one line: leave out --watch and --json.' });
  }
  if (watch === undefined) return undefined;
  if (watch === true) return WATCH_MS;
  const { parseDuration } = await import('../config/units.ts');
  const every = parseDuration(watch);
  if (every !== undefined && every >= SHORTEST_WATCH_MS) return every;
  throw new WalpostError('USAGE', { detail: '--watch takes an interval of at least 200ms, such as 5s.' });
}

function jsonText(status: GatheredStatus, oneLine: boolean, changes: StatusChanges | undefined): string {
  const { report, notes, process, database } = status;
  const shown = { ...report, asked: { process, database }, notes, ...(changes && { changes }) };
  return `${printableJson(shown, oneLine ? 0 : 2)}\n`;
}
