/** A channel of Slack behind an incoming webhook: the stand-in that walpost itself is tested with. */
import { type ReceivedMessage, SlackFake, textsOf } from '../../tests/support/slack-fake.ts';

export class SlackWorkspace implements AsyncDisposable {
  private readonly fake: SlackFake;

  private constructor(fake: SlackFake) {
    this.fake = fake;
  }

  /** @param take gets the texts of each message */
  static async start(take: (texts: readonly string[]) => void = () => undefined): Promise<SlackWorkspace> {
    const workspace = new SlackWorkspace(await SlackFake.start());
    void workspace.watch(take);
    return workspace;
  }

  /** The incoming webhook. */
  get url(): string {
    return this.fake.origin + SlackFake.path;
  }

  /** Events that the messages tell of; a burst is one message. */
  get told(): number {
    return this.fake.messages.reduce((sum, { text = '' }) => sum + Number(/^(\d+) events: /.exec(text)?.[1] ?? 1), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fake[Symbol.asyncDispose]();
  }

  private async watch(take: (texts: readonly string[]) => void): Promise<never> {
    let shown = 0;
    for (let requests = 1; ; requests += 1) {
      await this.fake.received(requests);
      for (const message of this.fake.messages.slice(shown)) take(linesOf(message));
      shown = this.fake.messages.length;
    }
  }
}

function linesOf(message: ReceivedMessage): string[] {
  return textsOf(message).filter((text) => text !== '');
}
