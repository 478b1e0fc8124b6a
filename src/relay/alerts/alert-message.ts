/** The news of an alert as the receiver gets it, in the form that Standard Webhooks proposes. */
import { runbookSection } from './runbook-section.ts';
import type { ToldAlert } from './told-alerts.ts';

export interface AlertMessage {
  /** The `webhook-id`: the same each time that this news is sent, by whichever process. */
  readonly id: string;
  readonly body: string;
}

export function alertMessage(slot: string, alert: ToldAlert): AlertMessage {
  const { id, name, severity, subject, message, remedy, since, endedAt } = alert;
  const state = endedAt === null ? 'fired' : 'resolved';
  const data = {
    id,
    slot,
    code: name,
    severity,
    subject,
    message,
    remedy,
    runbook: runbookSection(name),
    since,
    ended: endedAt,
  };
  const body = { type: `walpost.alert.${state}`, timestamp: endedAt ?? since, data };
  return { id: `alert_${id}_${state}`, body: JSON.stringify(body) };
}
