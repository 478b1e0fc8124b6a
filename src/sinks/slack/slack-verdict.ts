/**
 * What Slack's answer says. An incoming webhook answers with a status and a word. The API answers 200 also when it refuses,
 * with `{"ok":false,"error":"channel_not_found"}`.
 * https://docs.slack.dev/reference/methods/chat.postMessage#errors
 *
 * Nothing is `rejected`: after the app or the channel is repaired, any message may pass.
 */
import type { Verdict } from '../../pipeline.ts';
import { type HttpAnswer, isDelivered, verdictOfAnswer } from '../http/http-verdict.ts';

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/** The token, the workspace, or Slack itself. */
const ABOUT_US = words(
  'invalid_auth not_authed account_inactive token_revoked token_expired no_permission missing_scope access_denied ' +
    'org_login_required ekm_access_denied team_access_not_granted enterprise_is_restricted not_allowed_token_type ' +
    'two_factor_setup_required invalid_token action_prohibited no_service no_team posting_to_general_channel_denied',
);
const ABOUT_SLACK = words(
  'ratelimited rate_limited message_limit_exceeded accesslimited internal_error fatal_error service_unavailable ' +
    'request_timeout team_added_to_org rollup_error',
);
/** The channel: where each organization has its own, this organization alone. */
const ABOUT_CHANNEL = words(
  'channel_not_found channel_is_archived is_archived not_in_channel restricted_action user_not_found ' +
    'restricted_action_read_only_channel restricted_action_thread_only_channel cannot_reply_to_message',
);
const ABOUT_MESSAGE = words(
  'invalid_payload invalid_blocks invalid_blocks_format no_text msg_too_long msg_blocks_too_long too_many_attachments ' +
    'invalid_attachments metadata_too_large',
);
const KNOWN = [ABOUT_US, ABOUT_SLACK, ABOUT_CHANNEL, ABOUT_MESSAGE];

export interface SlackPlace {
  readonly isApi: boolean;
  /** Each organization has a channel of its own. */
  readonly isOwnChannel: boolean;
}

export function slackVerdict(answer: HttpAnswer, { isApi, isOwnChannel }: SlackPlace): Verdict {
  if (!isApi) {
    const name = answer.body.trim();
    return verdictOfAnswer(answer, isKnown(name) ? name : undefined);
  }
  if (!isDelivered(answer.status)) return verdictOfAnswer(answer);
  // A long answer is cut, and `ok` stands first.
  if (/^\s*\{\s*"ok"\s*:\s*true\b/.test(answer.body)) return { kind: 'delivered' };
  const error = /"error"\s*:\s*"(\w{1,60})"/.exec(answer.body)?.[1];
  const said = answer.answer === undefined ? {} : { answer: answer.answer };
  if (error === undefined) {
    return { kind: 'unavailable', reason: 'the answer is not one of the API of Slack', code: 'SLACK_UNKNOWN', ...said };
  }
  if (!isKnown(error)) {
    return {
      kind: 'failed',
      reason: 'Slack refused the message with an error that is not known here',
      code: 'SLACK_OTHER',
      ...said,
    };
  }
  const kind =
    ABOUT_MESSAGE.has(error) || (ABOUT_CHANNEL.has(error) && isOwnChannel)
      ? ('failed' as const)
      : ('unavailable' as const);
  const wait = answer.retryAfter === undefined ? {} : { retryAfter: answer.retryAfter };
  return {
    kind,
    reason: `Slack refused the message: ${error}`,
    code: `SLACK_${error.toUpperCase()}`,
    ...said,
    ...wait,
  };
}

function isKnown(name: string): boolean {
  return KNOWN.some((names) => names.has(name));
}
