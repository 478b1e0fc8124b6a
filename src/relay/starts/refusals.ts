/** Why a start is refused, for a person: what was found, and what to say so that it goes on. */
import type { Config } from '../../config/schema.ts';
import { WalpostError } from '../../errors.ts';
import type { Contents, StartRefusal, StartFacts } from './start.ts';
import { COUNT_LIMIT } from './start-facts.ts';

const DELIVER_OR_SKIP =
  'Say source.existing: deliver (all of it is sent) or source.existing: skip (it counts as settled), in walpost.yaml or ' +
  'for one start: `walpost run --set source.existing=skip`.';

export function refusalError(refusal: StartRefusal, facts: StartFacts, source: Config['source']): WalpostError {
  const { table, publication } = source;
  switch (refusal.kind) {
    case 'copied':
      return copied(refusal.from?.slot, facts, source);
    case 'existing rows':
      return existingRows(table, facts.contents?.rows ?? 0);
    case 'slot of another database':
      return new WalpostError('SLOT_OTHER_DATABASE', {
        detail: `It is "${refusal.slot}".`,
        remedy: 'Choose another name in source.slot, or leave it out: nothing is lost by that.',
      });
    case 'slot of another source':
      return new WalpostError('SLOT_OTHER_SOURCE', {
        detail: `"${refusal.slot}" is not that of ${table} and publication "${publication}".`,
      });
    case 'another slot':
      return new WalpostError('SLOT_CHANGED', {
        detail: `It names "${refusal.slot}", and ${table} with publication "${publication}" has "${refusal.known}".`,
        remedy:
          `Say source.takes_over: ${refusal.known} to go on under the new name, or source.slot: ${refusal.known} to keep the old one. ` +
          'A second relay of the same table needs a publication of its own in source.publication.',
      });
    case 'several slots':
      return new WalpostError('SLOT_CHANGED', {
        detail: `${table} with publication "${publication}" has ${listed(refusal.known)}.`,
        remedy: 'Say in source.slot which of them this relay goes on with.',
      });
    case 'both slots':
      return new WalpostError('SLOT_CHANGED', {
        detail: `Both "${refusal.slot}" and "${refusal.known}", which it would take over from, have a cursor of their own.`,
        remedy: 'Leave source.takes_over out. See docs/operations.md for a slot that is gone for good.',
      });
  }
}

function copied(slot: string | undefined, facts: StartFacts, source: Config['source']): WalpostError {
  const { contents, foreignSlots } = facts;
  const whose = slot === undefined ? '' : `Slot "${slot}" was made in another database or cluster. `;
  const isTaken = source.slot !== undefined && foreignSlots.has(source.slot);
  const rename = isTaken
    ? ` Slot "${source.slot}" is in use there: leave source.slot out, or choose another name.`
    : '';
  return new WalpostError('COPIED_DATABASE', {
    detail: `${whose}${contents ? contentsText(source.table, contents) : ''}`.trim(),
    remedy: DELIVER_OR_SKIP + rename,
  });
}

function existingRows(table: string, rows: number): WalpostError {
  return new WalpostError('EXISTING_ROWS', {
    detail: `${table} has ${counted(rows, 'row', 'rows')}.`,
    remedy: DELIVER_OR_SKIP,
  });
}

/** A row came between the first look and the beginning of the slot. */
export function rowsAfterAll(table: string): WalpostError {
  return new WalpostError('EXISTING_ROWS', { detail: `Rows came into ${table} just now.`, remedy: DELIVER_OR_SKIP });
}

function contentsText(table: string, { rows, parked, deadLetters }: Contents): string {
  const stored = `${counted(parked, 'event is', 'events are')} parked, and there are ${counted(deadLetters, 'dead letter', 'dead letters')}`;
  return `${table} has ${counted(rows, 'row', 'rows')}, ${stored}.`;
}

function counted(count: number, one: string, many: string): string {
  if (count > COUNT_LIMIT) return `more than ${COUNT_LIMIT.toLocaleString('en')} ${many}`;
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

function listed(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
