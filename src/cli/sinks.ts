/** `walpost sinks`: which sinks there are, and what operators pause and resume of them. */
import { userInfo } from 'node:os';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import { type PausedSince, partText, pausedText, pauseText } from '../observe/status-report.ts';
import { countParked } from '../parking/parked-sinks.ts';
import type { PausedPart } from '../pipeline.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { endStoredPause, readPauses, storePause } from '../parking/pauses.ts';
import type { ConfigFlags } from './config-options.ts';
import { openJobDatabase } from './job-database.ts';
import { refuseBrokenNames } from './known-names.ts';
import { hint, say, sayJson } from './output.ts';
import { noteWhenAlone } from './parked.ts';
import { secondsText } from './quantity-text.ts';
import { textTable } from './text-table.ts';

export interface SinkListFlags extends ConfigFlags {
  readonly json?: boolean;
}
export interface ResumeFlags extends SinkListFlags {
  readonly organization?: string;
}
export interface PauseFlags extends ResumeFlags {
  readonly reason?: string;
  readonly by?: string;
}

const HEAD = ['sink', 'type', 'parked', 'oldest', 'paused'];

/** Sinks of the configuration, then those that only the database knows. */
export async function listSinks(config: Config, { json }: SinkListFlags): Promise<void> {
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  const counts = new Map((await countParked(pool, slot)).map((each) => [each.sink, each]));
  const pauses = await readPauses(pool, slot);
  const names = new Set([...Object.keys(config.sinks), ...counts.keys(), ...pauses.map(({ sink }) => sink)]);
  const rows = [...names].map((sink) => ({
    sink,
    type: config.sinks[sink]?.type ?? null,
    parked: counts.get(sink)?.count ?? 0,
    oldestAgeSeconds: counts.get(sink)?.oldestAgeSeconds ?? null,
    paused: pauses.filter((each) => each.sink === sink),
  }));
  if (json) return sayJson(rows);
  const cells = rows.map(({ sink, type, parked, oldestAgeSeconds: age, paused }) => [
    sink,
    type ?? 'not in the configuration',
    String(parked),
    age === null ? '' : secondsText(age),
    paused.map(pauseText).join('; ') || 'no',
  ]);
  process.stdout.write(textTable(HEAD, cells));
  if (pauses.length > 0) hint('`walpost sinks resume SINK [--organization ID]` sends what was parked, and goes on.');
}

export async function pauseSink(config: Config, sink: string, flags: PauseFlags): Promise<void> {
  const { json, reason = null, by = userInfo().username } = flags;
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  if (!Object.hasOwn(config.sinks, sink)) throw unknownSink(config, sink);
  const part = partOf(config, sink, flags);
  await refuseBrokenNames(pool, config, { organization: part.organizationId ?? undefined });
  const isNew = await storePause(pool, { slot, ...part, by, reason });
  const pause = (await readPauses(pool, slot)).find((each) => partText(each) === partText(part));
  if (json) return sayJson({ changed: isNew, ...part, pause: pause ?? null });
  if (isNew) say(`${partText(part)} is paused: nothing is sent, and its events are parked in order.`);
  else say(`${partText(part)} was paused already${pause ? `: ${pausedText(pause)}` : ''}.`);
  await noteWhenAlone(database);
}

export async function resumeSink(config: Config, sink: string, flags: ResumeFlags): Promise<void> {
  const { json } = flags;
  await using database = await openJobDatabase(config);
  const { pool, slot } = database;
  const part = partOf(config, sink, flags);
  const ended = await endStoredPause(pool, { slot, ...part });
  const left = (await readPauses(pool, slot)).filter((each) => each.sink === sink);
  if (!ended && left.length === 0 && !Object.hasOwn(config.sinks, sink)) throw unknownSink(config, sink);
  if (json) return sayJson({ changed: ended !== undefined, ...part, stillPaused: left });
  say(ended ? `${partText(part)} is resumed; it was ${pausedText(ended)}.` : `${partText(part)} was not paused.`);
  sayLeft(left, part.organizationId);
  if (ended) await noteWhenAlone(database);
}

/** An organization of walpost.outbox is a UUID, which events carry in small letters. */
function partOf({ source }: Config, sink: string, { organization }: ResumeFlags): PausedPart {
  const id = source.table === OWN_TABLE ? organization?.toLowerCase() : organization;
  return { sink, organizationId: id ?? null };
}

/** Of a pause that holds on: resuming the one does not resume the other. */
function sayLeft(left: readonly PausedSince[], organizationId: string | null): void {
  const others = left.filter((each) => organizationId === null || each.organizationId === null);
  for (const pause of others) say(`${partText(pause)} stays paused: ${pausedText(pause)}.`);
}

function unknownSink(config: Config, sink: string): WalpostError {
  return new WalpostError('SINK_UNKNOWN', {
    detail: `There is ${Object.keys(config.sinks).join(', ')}, not "${sink}".`,
    remedy: 'See `walpost sinks list`.',
  });
}
