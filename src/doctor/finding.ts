/**
 * A finding: what is not as it should be around a relay, and what mends it. Its code, how severe it is and why it matters are
 * in catalogue.ts; what was found, and the statement with all names filled in, come from the check.
 */
import { ConfigError } from '../config/config-problem.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { scrub } from '../observe/redact.ts';
import { withPages } from '../pages.ts';
import { CATALOGUE, type FindingCode, type FindingSeverity, judgementOf } from './catalogue.ts';

export interface DoctorFinding {
  /** One of catalogue.ts, or of errors.ts: what `walpost run` would stop with. */
  readonly code: string;
  readonly severity: FindingSeverity;
  /** What it is about: a setting, a role, a slot, a table. */
  readonly subject: string;
  /** What was found, in sentences. */
  readonly what: string;
  /** Why it matters. */
  readonly why: string;
  /** What mends it: SQL, a setting or a command, with the names of this installation. */
  readonly remedy: string;
}

export interface Found {
  readonly subject: string;
  readonly what: string;
  readonly remedy: string;
}

export function finding(code: FindingCode, { subject, what, remedy }: Found): DoctorFinding {
  const { severity, why } = CATALOGUE[code];
  return { code, severity, subject, what, why, remedy: withPages(remedy) };
}

/** What a check of the relay says when it refuses to start. */
export function findingOf(error: unknown, subject: string, remedy?: string): DoctorFinding {
  const known = error instanceof WalpostError ? error : undefined;
  const code = known?.code ?? 'DEFECT';
  return {
    code,
    ...judgementOf(code),
    subject,
    what: error instanceof ConfigError ? error.message.split('\n').join(' ') : scrub(messageOf(error)),
    remedy: withPages(remedy ?? known?.remedy ?? 'See the message.'),
  };
}

export function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
