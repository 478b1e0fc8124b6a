/** The flags by which operators choose parked events and dead letters. */
import { type Command, Option } from 'commander';
import type { StoredFilter } from '../parking/stored-rows.ts';
import type { ConfigFlags } from './config-options.ts';
import { pastMoment, usage } from './flag-values.ts';

export interface FilterFlags extends ConfigFlags {
  readonly sink?: string;
  readonly organization?: string;
  readonly endpoint?: string;
  readonly type?: string;
  readonly reason?: string;
  readonly olderThan?: string;
  readonly id?: readonly string[];
}

/** Flags of every command that changes something. */
export interface ChangeFlags {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

export function withFilterOptions(command: Command, withReason: boolean): Command {
  command
    .addOption(new Option('--sink <name>', 'only of this sink').hideHelp(command.name() === 'move')) // that one has --from
    .option('--organization <id>', 'only of this organization')
    .option('--endpoint <id>', 'only of this endpoint of a customer')
    .option('--type <pattern>', 'only of this event type; * stands for any text');
  if (withReason) {
    command.option(
      '--reason <reason>',
      'only with this reason: rejected, failed, unavailable, unrouted, poison, crash, expired',
    );
  }
  return command
    .option('--older-than <time>', 'stored longer ago than that (2h), or before that time')
    .option('--id <id>', 'only this one: its number, or the id of the event (repeatable)', collect);
}

export function withChangeOptions(command: Command): Command {
  return command.option('--dry-run', 'only say what would be done').option('-y, --yes', 'do not ask');
}

const REASONS = ['poison', 'unrouted', 'rejected', 'failed', 'unavailable', 'crash', 'expired'];

/** Throws USAGE for what cannot be meant. */
export function storedFilter(flags: FilterFlags, slot: string, now = Date.now()): StoredFilter {
  const { sink, organization, endpoint, type, reason, olderThan, id = [] } = flags;
  if (reason !== undefined && !REASONS.includes(reason)) {
    throw usage(`--reason takes one of ${REASONS.join(', ')}, not "${reason}".`);
  }
  const ids = id.filter((text) => /^\d{1,18}$/.test(text));
  const eventIds = id.filter((text) => !ids.includes(text));
  if (ids.length > 0 && eventIds.length > 0) throw usage('--id takes numbers or ids of events, not both at once.');
  return {
    slot,
    ...(sink !== undefined && { sink }),
    ...(organization !== undefined && { organization }),
    ...(endpoint !== undefined && { lane: endpoint.toLowerCase() }),
    ...(type !== undefined && { type }),
    ...(reason !== undefined && { reason }),
    ...(olderThan !== undefined && { before: pastMoment(olderThan, { flag: '--older-than', now }).toISOString() }),
    ...(ids.length > 0 && { ids }),
    ...(eventIds.length > 0 && { eventIds }),
  };
}
