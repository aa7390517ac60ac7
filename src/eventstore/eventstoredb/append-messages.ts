/** One append as the protocol has it: the request, and what the answer means. */
import {
  BadRequest,
  type BatchAppendReq,
  type BatchAppendReq_ProposedMessage,
  type BatchAppendResp,
  type BatchAppendResp_Success,
  MaximumAppendSizeExceeded,
  type Status,
  WrongExpectedVersion,
} from '../../gen/event_store/client/streams.ts';
import type { Append } from '../check-append.ts';
import { AppendTooLarge, EventStoreUnavailable, noStream, type Position } from '../port.ts';
import { StreamTombstoned } from './errors.ts';

export type AppendAnswer =
  | { readonly kind: 'stored'; readonly revision: number; readonly position: Position | undefined }
  | { readonly kind: 'conflict'; readonly actualRevision: number };

/** `deadline`: milliseconds the server may take. */
export function requestOf(
  id: string,
  name: string,
  { expectedRevision }: Append,
  proposedMessages: BatchAppendReq_ProposedMessage[],
  deadline: number,
): BatchAppendReq {
  return {
    correlationId: { value: { $case: 'string', value: id } },
    options: {
      streamIdentifier: { streamName: Buffer.from(name) },
      expectedStreamPosition:
        expectedRevision === noStream
          ? { $case: 'noStream', value: {} }
          : { $case: 'streamPosition', value: BigInt(expectedRevision) },
      deadline: { seconds: BigInt(Math.floor(deadline / 1_000)), nanos: (deadline % 1_000) * 1_000_000 },
    },
    proposedMessages,
    isFinal: true,
  };
}

/** Throws what the append is to be rejected with. */
export function readAnswer({ result }: BatchAppendResp): AppendAnswer {
  switch (result?.$case) {
    case 'success':
      return readSuccess(result.value);
    case 'error':
      return readError(result.value);
    case undefined:
      throw new EventStoreUnavailable('EventStoreDB: an answer without a result');
  }
}

function readSuccess({ currentRevisionOption, positionOption }: BatchAppendResp_Success): AppendAnswer {
  if (currentRevisionOption?.$case !== 'currentRevision') {
    throw new EventStoreUnavailable('EventStoreDB: an answer without a revision');
  }
  return {
    kind: 'stored',
    revision: Number(currentRevisionOption.value),
    position:
      positionOption?.$case === 'position'
        ? { commit: positionOption.value.commitPosition, prepare: positionOption.value.preparePosition }
        : undefined,
  };
}

function readError({ code, message, details }: Status): AppendAnswer {
  const kind = details?.typeUrl.split('/').at(-1)?.split('.').at(-1) ?? '';
  const content = details?.value ?? new Uint8Array();
  switch (kind) {
    case 'WrongExpectedVersion': {
      const { currentStreamRevisionOption: actual } = WrongExpectedVersion.decode(content);
      const actualRevision = actual?.$case === 'currentStreamRevision' ? Number(actual.value) : noStream;
      return { kind: 'conflict', actualRevision };
    }
    case 'MaximumAppendSizeExceeded':
      throw new AppendTooLarge(
        `the server takes ${MaximumAppendSizeExceeded.decode(content).maxAppendSize} bytes at once`,
      );
    case 'StreamDeleted':
      throw new StreamTombstoned(`the stream has been deleted for good: ${message}`);
    case 'BadRequest':
      throw new Error(`EventStoreDB does not take the append: ${BadRequest.decode(content).message}`);
    // Timeout, Unknown, AccessDenied, InvalidTransaction; and without a name: not ready, too busy.
    default:
      throw new EventStoreUnavailable(`EventStoreDB: ${kind || `code ${code}`} ${message}`);
  }
}
