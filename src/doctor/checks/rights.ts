/** Who may do what with the tables of walpost, and whether captures still fit. */
import type { CaptureProblem } from '../../postgres/schema/captures.ts';
import type { UnboundLogin } from '../../postgres/schema/unbound-logins.ts';
import type { RoleDeviation } from '../../postgres/schema/role-model.ts';
import type { FindingCode } from '../catalogue.ts';
import { type DoctorFinding, finding, sentence } from '../finding.ts';
import type { DefaultPrivilege, InsideLogin } from '../facts/rights.ts';

/** The statement tells what kind of deviation it is; the first that fits. */
const KINDS: readonly (readonly [RegExp, FindingCode])[] = [
  [/^REVOKE /, 'RIGHTS_BESIDE_ROLES'],
  [/^GRANT /, 'RIGHTS_LACKING'],
  [/^CREATE ROLE /, 'ROLE_MISSING'],
  [/^CREATE OR REPLACE FUNCTION /, 'CAPTURE_BROKEN'],
  [/ PUBLICATION /, 'PUBLICATION_MODEL'],
  [/^/, 'ROW_SECURITY_MODEL'],
];

export function judgeDeviations(deviations: readonly RoleDeviation[]): DoctorFinding[] {
  return deviations.map(({ what, statement }) => {
    const code = KINDS.find(([pattern]) => pattern.test(statement))?.[1] ?? 'ROW_SECURITY_MODEL';
    const remedy = `As the owner of the schema, \`walpost migrate\`, or: ${statement.replace(/;\s*$/, '')};`;
    return finding(code, { subject: 'role model', what: sentence(what), remedy });
  });
}

export function judgeDefaults(privileges: readonly DefaultPrivilege[]): DoctorFinding[] {
  return privileges.map(({ grantee, what, remedy }) =>
    finding('DEFAULT_PRIVILEGES', { subject: `role ${grantee}`, what: `Default privileges give it ${what}.`, remedy }),
  );
}

export function judgeInsiders(logins: readonly InsideLogin[]): DoctorFinding[] {
  return logins.map(({ role, by, remedy }) => {
    const what = `This login may publish, and has ${by === 'BYPASSRLS' ? by : `the rights of ${by}`}.`;
    return finding('APPLICATION_SEES_ALL', { subject: `role ${role}`, what, remedy });
  });
}

export function judgeOwnerLogins(logins: readonly UnboundLogin[]): DoctorFinding[] {
  return logins.map(({ line, remedy }) =>
    finding('APPLICATION_OWNS_SCHEMA', { subject: 'schema walpost', what: sentence(line), remedy }),
  );
}

export function judgeCaptures(problems: readonly CaptureProblem[]): DoctorFinding[] {
  return problems.map(({ line, remedy }) =>
    finding('CAPTURE_BROKEN', { subject: 'walpost.captures', what: sentence(line), remedy }),
  );
}
