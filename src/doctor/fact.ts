/** Facts that may be unknown: who lacks the right to read something has not seen that it is well. */
import { messageOf } from '../errors.ts';
import { scrub } from '../observe/redact.ts';
import { databaseError } from '../postgres/database-error.ts';
import type { DoctorFinding } from './finding.ts';

export type Fact<T> = { readonly value: T } | { readonly unknown: string };

/** What a check says: what it found, and what it could not find out. */
export interface CheckOutcome {
  readonly findings: readonly DoctorFinding[];
  readonly unknown: readonly string[];
}

/** Reads a fact; an error is the reason why it is unknown. */
export async function factOf<T>(read: () => Promise<T>): Promise<Fact<T>> {
  try {
    return { value: await read() };
  } catch (error) {
    return { unknown: scrub(messageOf(databaseError(error))) };
  }
}

/** Findings of a fact; when it is unknown, that alone is said. */
export function judge<T>(fact: Fact<T>, look: (value: T) => readonly DoctorFinding[]): CheckOutcome {
  if ('unknown' in fact) return { findings: [], unknown: [fact.unknown] };
  return { findings: look(fact.value), unknown: [] };
}

export function together(outcomes: readonly CheckOutcome[]): CheckOutcome {
  return {
    findings: outcomes.flatMap(({ findings }) => findings),
    unknown: [...new Set(outcomes.flatMap(({ unknown }) => unknown))],
  };
}

/** Both, or why one of them is unknown. */
export function both<A, B>(first: Fact<A>, second: Fact<B>): Fact<readonly [A, B]> {
  if ('unknown' in first) return first;
  return 'unknown' in second ? second : { value: [first.value, second.value] };
}
