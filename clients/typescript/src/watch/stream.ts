/** The messages of one stream, until it ends or falls silent. */
import type { ClientReadableStream } from '@grpc/grpc-js';
import { now } from '../edges.ts';
import { readError, TallybackError } from '../errors.ts';

/**
 * Reads no faster than its messages are taken. `silenceMs` says how long the next message may take, and does not count
 * what the reader of this takes. Throws TallybackError; returns when the server ended the stream as if all were well.
 */
export async function* messagesOf<Message>(
  stream: ClientReadableStream<Message>,
  silenceMs: () => number,
): AsyncGenerator<Message, void, undefined> {
  // The iterator hears of errors too; this is for those that come when it is done.
  stream.on('error', () => undefined);
  const messages: AsyncIterator<Message> = stream[Symbol.asyncIterator]();
  let isSilent = false;
  const next = async (): Promise<IteratorResult<Message>> => {
    const ms = silenceMs();
    let since = now();
    const timer = setInterval(() => {
      // A timer that is late says that this process stood still: what came meanwhile is yet to be read.
      const isLate = now() - since > ms * 1.5;
      since = now();
      if (isLate) return;
      isSilent = true;
      stream.cancel();
    }, ms);
    try {
      return await messages.next();
    } finally {
      clearInterval(timer);
    }
  };
  try {
    for (let result = await next(); result.done !== true; result = await next()) yield result.value;
  } catch (error) {
    if (!isSilent) throw readError(error);
    throw new TallybackError('the watch fell silent', { code: 'UNAVAILABLE', reason: 'WATCH_SILENT' });
  } finally {
    stream.cancel();
  }
}
