/** What makes the server keep its log though the relay is well: slots that nobody reads, and transactions that do not end. */
import { type DoctorFinding, finding } from '../finding.ts';
import type { CheckOutcome } from '../fact.ts';
import type { OpenTransaction, SlotEntry } from '../facts/slots.ts';
import type { CheckContext } from './context.ts';

export function judgeOtherSlots(slots: readonly SlotEntry[], own: string, { limits }: CheckContext): DoctorFinding[] {
  return slots
    .filter(({ name, active }) => name !== own && !active)
    .flatMap(({ name, type, database, retained, retainedText, inactiveSince }) => {
      if (retained === null || retained < limits.unreadBytes) return [];
      const whose = database === null ? '' : ` of database ${database}`;
      const since = inactiveSince === null ? '' : ` since ${inactiveSince} UTC`;
      const what = `Nobody reads this ${type} slot${whose}${since}, and it keeps ${retainedText ?? 'some'} of log.`;
      const remedy = `Start what reads it; or, when nobody needs it any more: SELECT pg_drop_replication_slot('${name}');`;
      return [finding('OTHER_SLOT_UNREAD', { subject: `slot ${name}`, what, remedy })];
    });
}

/** Who has no right to see when transactions of others began has not seen that they are young. */
export function judgeTransactions(
  transactions: readonly OpenTransaction[],
  seesAll: boolean,
  { limits, role }: CheckContext,
): CheckOutcome {
  const old = transactions.filter(({ seconds }) => seconds !== null && seconds >= limits.transactionSeconds);
  const hidden = transactions.filter(({ since }) => since === null);
  const unknown =
    hidden.length === 0 || seesAll
      ? []
      : [
          `how long ${hidden.length === 1 ? 'a transaction of another role is' : `${hidden.length} transactions of other roles are`} open ` +
            `(process ${hidden.map(({ pid }) => pid).join(', ')}): GRANT pg_read_all_stats TO ${role};`,
        ];
  return { findings: old.map(held), unknown };
}

function held(found: OpenTransaction): DoctorFinding {
  const { pid, gid, role, application, database, state, since } = found;
  const who = `role ${role ?? 'unknown'}, database ${database ?? 'unknown'}`;
  if (pid === null) {
    const name = gid ?? '';
    const what = `It has been prepared since ${since ?? 'unknown'} UTC (${who}).`;
    const remedy = `In database ${database ?? ''}: ROLLBACK PREPARED '${name.replaceAll("'", "''")}'; or COMMIT PREPARED, as its program decided.`;
    return finding('PREPARED_TRANSACTION', { subject: `transaction ${name}`, what, remedy });
  }
  const program = application ? `application ${application}` : 'an application without a name';
  const what = `Its transaction is open since ${since ?? 'unknown'} UTC (${who}, ${program}, ${state ?? 'state unknown'}).`;
  const remedy = `Let it commit or roll back, or end it: SELECT pg_terminate_backend(${pid});`;
  return finding('LONG_TRANSACTION', { subject: `process ${pid}`, what, remedy });
}
