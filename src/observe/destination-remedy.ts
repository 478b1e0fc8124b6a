/** What an operator does about a destination that fails: by the code of the verdict. */

const GOES_ON = 'Delivery then goes on by itself, in order; `walpost parked retry` skips the wait.';
const RECEIVER = `Look at the receiver and its log. ${GOES_ON}`;

interface RemedyRow {
  readonly codes: RegExp;
  readonly remedy: (setting: string) => string;
}

/** The first row that names the code. */
const ROWS: readonly RemedyRow[] = [
  {
    codes:
      /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_SOCKET|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/,
    remedy: (sink) => `Start the receiver, or correct ${sink}.url and the network between. ${GOES_ON}`,
  },
  { codes: /^(ENOTFOUND|EAI_AGAIN)$/, remedy: (sink) => `Correct the host in ${sink}.url, or repair DNS. ${GOES_ON}` },
  {
    codes: /^(TIMEOUT|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT)$/,
    remedy: (sink) => `Let the receiver answer sooner and work later, or raise ${sink}.timeout. ${GOES_ON}`,
  },
  {
    codes: /CERT|SIGNED|ISSUER|VERIFY|ERR_TLS/,
    remedy: (sink) => `Renew the receiver's certificate, or name its authority in ${sink}.ca. ${GOES_ON}`,
  },
  {
    codes: /^(EPROTO|ERR_SSL_.*)$/,
    remedy: (sink) => `Correct the scheme and the port in ${sink}.url. ${GOES_ON}`,
  },
  {
    codes: /^WALPOST_PROXY_/,
    remedy: (sink) => `Repair the proxy, or correct ${sink}.proxy and HTTPS_PROXY. ${GOES_ON}`,
  },
  {
    codes: /^WALPOST_ADDRESS_REFUSED$/,
    remedy: (sink) => `Use a public address in ${sink}.url, or set ${sink}.allow_private: true where it is meant.`,
  },
  { codes: /^HTTP_3\d\d$/, remedy: (sink) => `Put the final URL into ${sink}.url.` },
  {
    codes: /^HTTP_40[1237]$/,
    remedy: (sink) =>
      `Correct the credentials: the secret or the headers of ${sink}, or the account at the receiver. ${GOES_ON}`,
  },
  {
    codes: /^HTTP_4(04|05|10|14|21)$/,
    remedy: (sink) => `Correct the path in ${sink}.url, or bring the endpoint back. ${GOES_ON}`,
  },
  {
    codes: /^HTTP_429$/,
    remedy: (sink) =>
      `Nothing, if it passes: walpost waits as asked. To send less at once, set ${sink}.rate or ${sink}.organization_rate.`,
  },
  {
    codes: /^HTTP_4\d\d$/,
    remedy: () =>
      'Nothing yet: walpost finds the events that are refused; they become dead letters. Repair the receiver, then `walpost dead-letters redrive`.',
  },
  {
    codes: /^NATS_NO_STREAM$/,
    remedy: (sink) => `Make a stream that takes the subjects of ${sink}.subject, or correct the option. ${GOES_ON}`,
  },
  {
    codes: /^NATS_10060$/,
    remedy: (sink) => `Correct ${sink}.stream, or the subjects of the streams. ${GOES_ON}`,
  },
  {
    codes: /^NATS_(AUTHORIZATION|PERMISSION)$/,
    remedy: (sink) =>
      `Correct the login of ${sink}; its user publishes to the subjects and subscribes to _INBOX.>. ${GOES_ON}`,
  },
  {
    codes: /^NATS_(10023|10047)$/,
    remedy: () => `Give JetStream more storage or memory, or let streams keep less. ${GOES_ON}`,
  },
  {
    codes: /^NATS_10077$/,
    remedy: (sink) => `Raise the limits of the stream of ${sink}, or let it keep less. ${GOES_ON}`,
  },
  {
    codes: /^NATS_\d+$/,
    remedy: () => `Look at the limits of the stream and the log of the server. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_UNROUTABLE$/,
    remedy: (sink) =>
      `Bind a queue to ${sink}.exchange for the routing keys, or correct ${sink}.routing_key. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_NACK$/,
    remedy: () => `Make room in the queue, or look at the log of RabbitMQ. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_BLOCKED$/,
    remedy: () => `Give RabbitMQ memory or disk, or let consumers catch up. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_404$/,
    remedy: (sink) => `Make the exchange, or correct ${sink}.exchange. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_(403|530)$/,
    remedy: (sink) => `Correct the login or the virtual host in ${sink}.url, or the rights of its user. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_406$/,
    remedy: () => `Raise max_message_size of RabbitMQ. ${GOES_ON}`,
  },
  {
    codes: /^RABBITMQ_/,
    remedy: () => `Look at the log of RabbitMQ. ${GOES_ON}`,
  },
  {
    codes: /^KAFKA_UNKNOWN_TOPIC_OR_PARTITION$/,
    remedy: (sink) => `Make the topics of ${sink}.topic, or correct the option. ${GOES_ON}`,
  },
  {
    codes: /^KAFKA_(AUTHENTICATION|\w+_AUTHORIZATION_FAILED)$/,
    remedy: (sink) =>
      `Correct ${sink}.sasl, or the rights of its user: Write to the topics, and IdempotentWrite. ${GOES_ON}`,
  },
  {
    codes: /^KAFKA_/,
    remedy: () => `Look at the log of the brokers, and at the replicas of the topic. ${GOES_ON}`,
  },
  {
    codes: /^BREAKER_OPEN$/,
    remedy: (sink) => `See the line about the breaker of ${sink.replace(/^sinks\./, '')}: it has the cause.`,
  },
];

/** Of a lane that has everything refused: none of its events becomes a dead letter. */
export const REFUSING_REMEDY =
  'Find out why the receiver refuses them and mend it, or the events; they go on by themselves. `walpost parked discard --id ...` gives one up.';

/** Of endpoints that customers have added, where nothing is to be set here. */
export const ENDPOINT_REMEDY =
  'An endpoint that fails alone is for its customer to mend; after disable_after it is disabled. Where many fail, look at the network and the proxy here. `walpost endpoints list --failing` has all.';

export function destinationRemedy(code: string | null | undefined, sink: string): string {
  const row = ROWS.find(({ codes }) => codes.test(code ?? ''));
  return row?.remedy(`sinks.${sink}`) ?? RECEIVER;
}
