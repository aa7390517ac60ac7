/** Append (one append a call), Delete and Tombstone. */
import type { sendUnaryData, ServerReadableStream, ServerUnaryCall } from '@grpc/grpc-js';
import { appendConflict, appended, deleted } from './answers.ts';
import type { ExpectedRevision } from './check-append.ts';
import type { WriteOutcome } from './log.ts';
import type { NodeContext } from './node-context.ts';
import { Refused, refusals } from './refusals.ts';
import type { ProposedEvent } from './stored-event.ts';
import { OneAnswer, toRefusal } from './unary.ts';
import { decodeAppend, decodeDelete, decodeEvent, sizeOnDisk, type WriteOptions } from './write-requests.ts';

export function append(
  node: NodeContext,
  call: ServerReadableStream<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
): void {
  const answer = new OneAnswer(node, 'append', call, callback);
  const refusal = node.refusalOf(call.metadata);
  if (refusal) {
    answer.refuse(refusal);
    return;
  }
  const { maxAppendSize } = node.cluster.settings;
  let options: WriteOptions | undefined;
  let size = 0;
  const events: ProposedEvent[] = [];
  call.on('data', (bytes: Buffer) => {
    try {
      const message = decodeAppend(bytes);
      if ('options' in message) options = message.options;
      else {
        const event = decodeEvent(message.event);
        size += sizeOnDisk(event);
        events.push(event);
      }
      if (size > maxAppendSize) answer.refuse(refusals.maximumAppendSizeExceeded(maxAppendSize));
    } catch (error) {
      answer.refuse(error instanceof Refused ? error.refusal : refusals.handlerThrew());
    }
  });
  call.on('end', () => {
    if (!options) {
      answer.refuse(refusals.handlerThrew());
      return;
    }
    node.cluster.calls.appendsReceived++;
    const { stream, expected } = options;
    void answer.give({
      stream,
      run: () => {
        const outcome = node.cluster.log.append(stream, expected, events);
        if (outcome.kind === 'wrong-expected-version') return appendConflict(expected, outcome.actual);
        if (outcome.kind === 'deleted') throw new Refused(refusals.streamDeleted(stream));
        return appended(outcome);
      },
    });
  });
}

type Deletion = (stream: string, expected: ExpectedRevision) => WriteOutcome;

export const softDelete = (
  node: NodeContext,
  call: ServerUnaryCall<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
): void => {
  const { log } = node.cluster;
  del(node, new OneAnswer(node, 'delete', call, callback), call, (...args) => log.softDelete(...args));
};

export const tombstone = (
  node: NodeContext,
  call: ServerUnaryCall<Buffer, Buffer>,
  callback: sendUnaryData<Buffer>,
): void => {
  const { log } = node.cluster;
  del(node, new OneAnswer(node, 'tombstone', call, callback), call, (...args) => log.tombstone(...args));
};

function del(
  node: NodeContext,
  answer: OneAnswer,
  call: ServerUnaryCall<Buffer, Buffer>,
  deletion: Deletion,
): void {
  const refusal = node.refusalOf(call.metadata);
  if (refusal) {
    answer.refuse(refusal);
    return;
  }
  const options = orRefuse(answer, () => decodeDelete(call.request));
  if (!options) return;
  const { stream, expected } = options;
  void answer.give({
    stream,
    run: () => {
      const outcome = deletion(stream, expected);
      if (outcome.kind === 'success') return deleted(outcome.position);
      if (outcome.kind === 'deleted') throw new Refused(refusals.streamDeleted(stream));
      throw new Refused(refusals.wrongExpectedVersion(stream, toInt64(expected), outcome.actual));
    },
  });
}

function orRefuse<Value>(answer: OneAnswer, value: () => Value): Value | undefined {
  try {
    return value();
  } catch (error) {
    answer.refuse(toRefusal(error));
    return undefined;
  }
}

const toInt64 = (expected: ExpectedRevision): number =>
  typeof expected === 'number' ? expected : { any: -2, no_stream: -1, stream_exists: -4 }[expected];
