/** What `walpost doctor` found, for people: the most severe first, then what is not known. */
import pc from 'picocolors';
import type { FindingSeverity } from '../doctor/catalogue.ts';
import type { Examination } from '../doctor/examine.ts';
import type { DoctorFinding } from '../doctor/finding.ts';
import { printableValue } from '../observe/printable.ts';
import { fitted } from './text-table.ts';

type Paint = ReturnType<typeof pc.createColors>;

export function doctorText(examination: Examination, color: boolean, width?: number): string {
  const { findings, ran, notKnown, notAsked } = printableValue(examination);
  const paint = pc.createColors(color);
  const blocks = findings.map((found) => findingLines(found, paint));
  if (notKnown.length > 0) blocks.push([paint.bold('not known'), ...byReason(notKnown)]);
  if (notAsked.length > 0) {
    blocks.push([paint.dim('not asked'), ...notAsked.map(({ check, reason }) => `  ${check}: ${reason}`)]);
  }
  blocks.push([summary(findings, ran.length, notKnown)]);
  return `${blocks.map((lines) => lines.map((line) => fitted(line, width)).join('\n')).join('\n\n')}\n`;
}

function findingLines({ severity, code, subject, what, why, remedy }: DoctorFinding, paint: Paint): string[] {
  const head = { critical: paint.red, warning: paint.yellow, note: paint.cyan }[severity](severity);
  return [
    `${head}  ${paint.bold(code)}  ${subject}`,
    `  ${what}`,
    `  ${paint.dim('Why:')} ${why}`,
    `  ${paint.dim('Mend:')} ${remedy}`,
  ];
}

/** A database that is not there leaves many checks without an answer, for one reason. */
function byReason(notKnown: Examination['notKnown']): string[] {
  const reasons = [...new Set(notKnown.map(({ reason }) => reason))];
  return reasons.map((reason) => {
    const checks = notKnown.filter((each) => each.reason === reason).map(({ check }) => check);
    return `  ${checks.join(', ')}: ${reason}`;
  });
}

function summary(findings: readonly DoctorFinding[], ran: number, notKnown: Examination['notKnown']): string {
  const count = (severity: FindingSeverity): number => findings.filter((found) => found.severity === severity).length;
  const found =
    findings.length === 0
      ? 'Nothing found'
      : `${findings.length} found: ${count('critical')} critical, ${plural(count('warning'), 'warning')}, ${plural(count('note'), 'note')}`;
  const missing = new Set(notKnown.map(({ check }) => check)).size;
  const rest = missing === 0 ? '' : `; ${plural(missing, 'check')} could not be made, or in part`;
  return `${found}; ${plural(ran, 'check')} made${rest}.`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
