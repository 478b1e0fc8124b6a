import type { Event } from '../../event.ts';
import { percent } from '../broker/tenant-names.ts';
import { compileTemplate } from '../event-template.ts';

const FIELDS = ['organization_id'] as const;
/** What no name of a channel has. Many scripts write vowels as marks. */
const FOREIGN = /[^\p{L}\p{M}\p{N}_-]/gu;
/** Where a mark could be composed with its letter, the name could become that of another id. */
const FOREIGN_OR_MARK = /[^\p{L}\p{N}_-]/gu;

/**
 * The channel of an event. Slack takes a name with and without #, and @ for a person. So in the id of an organization all but
 * letters, their marks, digits, _ and - is percent-encoded: "#b" is no channel then, and not that of the organization "b".
 */
export function compileChannel(template: string, where: string): (event: Event) => string {
  compileTemplate(template, where, FIELDS); // another field in braces is refused
  const parts = template.split(`{${FIELDS[0]}}`);
  return ({ organizationId }) => {
    const foreign = organizationId === organizationId.normalize('NFC') ? FOREIGN : FOREIGN_OR_MARK;
    return parts.join(organizationId.replace(foreign, percent));
  };
}
