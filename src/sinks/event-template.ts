import { WalpostError } from '../errors.ts';
import type { Event } from '../event.ts';

const FIELDS = {
  organization_id: (event: Event) => event.organizationId,
  event_type: (event: Event) => event.eventType,
  topic: (event: Event) => event.topic,
  entity_type: (event: Event) => event.entityType ?? '',
  entity_id: (event: Event) => event.entityId ?? '',
  target: (event: Event) => event.target ?? '',
} as const;

export type TemplateField = keyof typeof FIELDS;

/** All of them, for a template that may name any. */
export const TEMPLATE_FIELDS = Object.keys(FIELDS) as readonly TemplateField[];

/** A text with fields of the event in braces, such as `org_{organization_id}`; `where` names the option in errors. */
export function compileTemplate(
  text: string,
  where: string,
  allowed: readonly TemplateField[],
): (event: Event) => string {
  // Splitting by a group puts literals at the even places and field names at the odd ones.
  const parts = text.split(/\{(\w*)\}/).map((part, place) => {
    if (place % 2 === 0) return () => part;
    const field = allowed.find((name) => name === part);
    if (field) return FIELDS[field];
    throw new WalpostError('CONFIG_INVALID', {
      detail: `${where} names {${part}}; it may name ${allowed.map((name) => `{${name}}`).join(', ')}.`,
    });
  });
  const [, alone] = parts;
  if (alone === undefined) return () => text;
  if (text.startsWith('{') && text.endsWith('}') && parts.length === 3) return alone;
  return (event) => parts.reduce((filled, part) => filled + part(event), '');
}
