/** One connection to RabbitMQ with one channel whose publishes are confirmed. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type ConfirmChannel, type ChannelModel, connect, type Options } from 'amqplib';
import { certificatesOf } from '../../certificate-file.ts';
import type { SinkConfigOf } from '../../config/sinks/sinks.ts';
import { privateKeyOf } from '../broker/private-key.ts';

/** Milliseconds until the server has to have accepted the connection, and until it has to have ended it. */
const CONNECT_TIMEOUT = 5000;
const CLOSE_TIMEOUT = 500;
/** Seconds; a server that is silent for two of them is taken for lost. */
const HEARTBEAT = 10;

export type Confirmation = 'stored' | 'unroutable' | 'refused';

export interface OutgoingMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  readonly properties: Options.Publish & { readonly messageId: string };
}

/** The server reads nothing from connections that publish: a resource alarm (connection.blocked). */
export class BlockedError extends Error {
  /** In the server's words, such as `low on memory`. */
  readonly told: string;

  constructor(told: string) {
    super('the connection is blocked');
    this.told = told;
  }
}

export class ConfirmedChannel {
  /** Resolves when nothing can be sent any more. */
  readonly ended: Promise<void>;
  private readonly model: ChannelModel;
  private readonly channel: ConfirmChannel;
  /** Ids of messages that no queue took; their confirmation follows. */
  private readonly returned = new Set<string>();
  /** One for each message that waits for its confirmation. */
  private readonly waiting = new Set<(error: Error) => void>();
  private fault: unknown = new Error('the channel is closed');
  /** While a resource alarm of the server lasts. */
  private blocked: BlockedError | undefined;

  private constructor(model: ChannelModel, channel: ConfirmChannel) {
    this.model = model;
    this.channel = channel;
    for (const emitter of [model, channel]) emitter.on('error', (error: unknown) => (this.fault = error));
    // What was published is in the socket. The server reads it after the alarm, before what is published again.
    model.on('blocked', (told: string) => this.abandonAll((this.blocked = new BlockedError(told))));
    model.on('unblocked', () => (this.blocked = undefined));
    channel.on('return', ({ properties }) => this.returned.add(String(properties.messageId)));
    this.ended = Promise.race([once(model, 'close'), once(channel, 'close')]).then(
      () => this.abandonAll(),
      () => this.abandonAll(),
    );
  }

  static async open(config: SinkConfigOf<'rabbitmq'>): Promise<ConfirmedChannel> {
    const { ca, certificate, key } = config.tls ?? {};
    const url = new URL(config.url);
    url.searchParams.set('heartbeat', String(HEARTBEAT));
    const model = await connect(url.href, {
      timeout: CONNECT_TIMEOUT,
      ...(ca !== undefined && { ca: [certificatesOf(ca)] }),
      ...(certificate !== undefined && { cert: certificatesOf(certificate) }),
      ...(key !== undefined && { key: privateKeyOf(key) }),
    });
    model.on('error', () => undefined);
    try {
      return new ConfirmedChannel(model, await model.createConfirmChannel());
    } catch (error) {
      // Nobody has the connection, and each attempt would leave another one behind.
      socketOf(model).destroy();
      throw error;
    }
  }

  /** Resolves when the server has answered; rejects with the error that closed the channel, or with a BlockedError. */
  publish({ exchange, routingKey, content, properties }: OutgoingMessage): Promise<Confirmation> {
    if (this.blocked) return Promise.reject(this.blocked);
    return new Promise<Confirmation>((resolve, reject) => {
      const abandon = (error: Error): void => reject(error);
      this.waiting.add(abandon);
      this.channel.publish(exchange, routingKey, content, properties, (error: unknown) => {
        const isReturned = this.returned.delete(properties.messageId);
        const answer = error ? 'refused' : isReturned ? 'unroutable' : 'stored';
        // A channel that closes calls back as if the server had refused; the reason why it closed is worth more.
        setImmediate(() => {
          this.waiting.delete(abandon);
          resolve(answer);
        });
      });
    });
  }

  /** The client waits for the server's answer for ever, also when the socket is gone; this does not. */
  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const tired = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT)));
    await Promise.race([this.model.close().catch(() => undefined), tired]);
    clearTimeout(timer);
    // With an error, by which the client notices, and stops its heartbeat.
    socketOf(this.model).destroy(new Error('the connection is closed'));
  }

  private abandonAll(error: unknown = this.fault): void {
    const reason = error instanceof Error ? error : new Error('the channel is closed');
    for (const abandon of this.waiting) abandon(reason);
    this.waiting.clear();
  }
}

function socketOf(model: ChannelModel): Socket {
  return (model as unknown as { connection: { stream: Socket } }).connection.stream;
}
