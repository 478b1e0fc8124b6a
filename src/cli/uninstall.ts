import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { leaderLockKey } from '../leader/lock-key.ts';
import { inCommandSession } from '../postgres/command-session.ts';
import { planRemoval, type RemovalPlan } from '../postgres/schema/removal-plan.ts';
import { remove } from '../postgres/schema/removal.ts';
import { confirm } from './confirm.ts';
import { usage } from './flag-values.ts';
import { note, say, sayJson } from './output.ts';
import type { ChangeFlags } from './stored-filter.ts';

/** Shows what goes and what stays, asks, and removes walpost from the database. No session is open while a person thinks. */
export async function uninstall({ database }: Config, flags: ChangeFlags): Promise<void> {
  const session = { url: database.url, applicationName: 'walpost uninstall' };
  const plan = await inCommandSession(session, planRemoval);
  if (plan === undefined) return tellAbsent(flags);
  refuseRunning(plan);
  // With --json a person is asked all the same, unless --yes says the answer.
  const tell = flags.json ? note : say;
  if (!flags.json || !(flags.dryRun || flags.yes)) for (const line of goes(plan)) tell(line);
  const goesOn = !flags.dryRun && (await confirm('Remove all of this for good?', flags));
  const kept = goesOn ? await inCommandSession(session, (client) => removeAsShown(client, plan)) : undefined;
  if (flags.json) return sayJson(removalJson(plan, { dryRun: flags.dryRun === true, kept }));
  for (const line of kept ? ['walpost is removed.', ...stays(plan, kept)] : []) say(line);
}

/** A prompt can stand for long: what nobody has seen is not removed. */
async function removeAsShown(client: pg.ClientBase, shown: RemovalPlan): Promise<string[]> {
  const plan = await planRemoval(client);
  if (plan) refuseRunning(plan);
  if (!isDeepStrictEqual({ ...plan, waiting: '' }, { ...shown, waiting: '' })) {
    throw usage('What would go has changed since it was shown; nothing was changed.', 'Run `walpost uninstall` again.');
  }
  return remove({ client, plan: shown, lockKey: leaderLockKey });
}

function tellAbsent({ json, dryRun }: ChangeFlags): void {
  if (json) sayJson({ dry_run: dryRun === true, installed: false, removed: false });
  else say('walpost is not installed in this database.');
}

function removalJson(plan: RemovalPlan, { dryRun, kept }: { dryRun: boolean; kept: readonly string[] | undefined }) {
  const { slots, publications, captured, roles, waiting } = plan;
  return {
    dry_run: dryRun,
    installed: true,
    removed: kept !== undefined,
    goes: { schemas: ['walpost', 'walpost_internal'], events: waiting, slots, publications, captured, roles },
    stays: { publications: plan.keptPublications, tables: plan.sources, callers: plan.callers, other: kept ?? [] },
  };
}

function refuseRunning({ relays }: RemovalPlan): void {
  if (relays.length > 0) throw new WalpostError('RELAY_RUNS', { detail: `It is ${relays.join(', ')}.` });
}

function goes(plan: RemovalPlan): string[] {
  return [
    `Goes: the schemas walpost and walpost_internal with all events (${plan.waiting}).`,
    ...list('Goes: slot', plan.slots),
    ...list('Goes: publication', plan.publications),
    ...list('Goes: the capture triggers of', plan.captured),
    `Go: the roles ${plan.roles.join(', ')}, where nothing else uses them.`,
    ...list('Stays, and fails from then on: it names the schema walpost:', plan.callers),
  ];
}

function stays(plan: RemovalPlan, kept: readonly string[]): string[] {
  return [
    ...list('Stays:', kept),
    ...list('Stays: publication', plan.keptPublications),
    ...list('Stays: the columns created_xid and seq, and their index, of', plan.sources),
    ...list('Stays, and fails: it names the schema walpost:', plan.callers),
    'Stay: logins and what they may (REPLICATION), the settings of the server (wal_level), and walpost.yaml.',
  ];
}

const list = (head: string, names: readonly string[]): string[] => names.map((name) => `${head} ${name}`);
