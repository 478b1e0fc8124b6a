/** The table, its publication, and the schema: what a start would refuse, and what the stream may have missed. */
import { quoteIdentifier } from '../../postgres/identifiers.ts';
import { OWN_TABLE } from '../../postgres/own-table.ts';
import { createPublicationSql, publishedTables } from '../../postgres/source/publication.ts';
import { awaitedJob } from '../../postgres/source/completeness.ts';
import { type DoctorFinding, finding } from '../finding.ts';
import type { PublicationExtent } from '../facts/publication.ts';
import type { OwnSlot } from '../facts/slots.ts';
import { type CheckContext, startFinding } from './context.ts';

export function judgeSource(problems: readonly unknown[], context: CheckContext): DoctorFinding[] {
  return problems.map((error) => startFinding(error, context.config.source.table, context));
}

export function judgeSchema(problems: readonly unknown[], context: CheckContext): DoctorFinding[] {
  return problems.map((error) => startFinding(error, 'schema walpost', context));
}

export function judgeStartOf(problems: readonly unknown[], context: CheckContext): DoctorFinding[] {
  return problems.map((error) => startFinding(error, context.config.source.table, context));
}

export function judgeNeverRun(neverRun: boolean, slot: string, context: CheckContext): DoctorFinding[] {
  if (!neverRun) return [];
  const what = `No relay has read ${context.config.source.table} yet.`;
  const remedy = 'Start `walpost run`: it makes the slot, and delivers from the first row on.';
  return [finding('NEVER_RUN', { subject: `slot ${slot}`, what, remedy })];
}

/** What is in the publication of walpost itself is held against the role model (rights.ts). */
export function judgePublication(
  extent: PublicationExtent | undefined,
  { config }: Pick<CheckContext, 'config'>,
): DoctorFinding[] {
  if (extent === undefined) return [];
  const { publication, table } = config.source;
  const subject = `publication ${publication}`;
  const name = quoteIdentifier(publication);
  const found: DoctorFinding[] = [];
  const isModelled = publication === 'walpost' && table === OWN_TABLE;
  if (extent.operations.length > 0 && !isModelled) {
    const what = `It publishes ${extent.operations.join(', ')} beside INSERT.`;
    const remedy = `ALTER PUBLICATION ${name} SET (publish = 'insert');`;
    found.push(finding('PUBLICATION_OPERATIONS', { subject, what, remedy }));
  }
  if (extent.allTables || extent.others.length > 0) {
    const some = extent.others.length > 3 ? [...extent.others.slice(0, 3), '…'] : extent.others;
    const what = extent.allTables
      ? 'It holds all tables, of the database or of a schema.'
      : `It holds other tables too: ${some.join(', ')}.`;
    const remedy = extent.allTables
      ? `DROP PUBLICATION ${name}; ${createPublicationSql(publication, table, extent.endpoints)}; walpost reads from the table what was written in between.`
      : `ALTER PUBLICATION ${name} SET TABLE ${publishedTables(table, extent.endpoints)};`;
    found.push(finding('PUBLICATION_OTHER_TABLES', { subject, what, remedy }));
  }
  return found;
}

/** The table left the publication for a while, or was made anew. While a relay streams it sees that by itself. */
export function judgeCompleteness(
  { source: look }: OwnSlot,
  { config }: Pick<CheckContext, 'config'>,
): DoctorFinding[] {
  if (look === undefined || look.recorded === null || look.present === null) return [];
  if (look.recorded === look.present || awaitedJob(look.recorded) !== undefined) return [];
  const { table, publication } = config.source;
  const what = `The table, or publication ${publication}, has changed since the stream was last known to be complete.`;
  const remedy =
    'Start `walpost run`, or leave it running: it reads from the table what the stream lacks (a `heal` job).';
  return [finding('SOURCE_INCOMPLETE', { subject: table, what, remedy })];
}
