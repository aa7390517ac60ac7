/** What a `ReadReq` asks for, in the server's terms. */
import type { ReadReq } from '@eventstore/db-client/generated/streams_pb.js';
import streamsPb from '@eventstore/db-client/generated/streams_pb.js';
import type { LogPosition } from './answers.ts';
import { type EventFilter, toFilter } from './filter.ts';
import { Refused, refusals } from './refusals.ts';

export interface ReadOptions {
  /** All streams if undefined. */
  readonly stream: string | undefined;
  /** In a stream. */
  readonly revision: number | 'start' | 'end';
  /** In all streams. */
  readonly position: LogPosition | 'start' | 'end';
  readonly backwards: boolean;
  readonly resolveLinks: boolean;
  /** Subscribes if undefined. */
  readonly count: number | undefined;
  readonly filter: EventFilter | undefined;
  readonly structuredIds: boolean;
}

const { Options } = streamsPb.ReadReq;

export function toReadOptions(request: ReadReq): ReadOptions {
  const options = request.getOptions();
  const [stream, all] = [options?.getStream(), options?.getAll()];
  const uuidOption = options?.getUuidOption();
  if (!options || !(stream ?? all))
    throw new Refused(refusals.badRequest(`'None' is not a valid stream option`));
  if (!uuidOption) throw new Refused(refusals.badRequest(' `uuidOption` is a required argument'));
  const name = stream?.getStreamIdentifier()?.getStreamName_asU8();
  const filter = options.getFilter();
  const backwards = options.getReadDirection() === Options.ReadDirection.BACKWARDS;
  const isSubscription = options.hasSubscription();
  if (isSubscription && backwards) throw new Refused(refusals.badRequest('The combination is invalid.'));
  if (filter && stream) throw new Refused(refusals.badRequest('The combination is invalid.'));
  return {
    stream: name && Buffer.from(name).toString('utf8'),
    revision: stream?.hasRevision() ? Number(stream.getRevision()) : stream?.hasEnd() ? 'end' : 'start',
    position: toPosition(all),
    backwards,
    resolveLinks: options.getResolveLinks(),
    count: isSubscription ? undefined : Number(options.getCount()),
    filter: filter && toFilter(filter),
    structuredIds: !uuidOption.hasString(),
  };
}

function toPosition(all: ReadReq.Options.AllOptions | undefined): LogPosition | 'start' | 'end' {
  const position = all?.getPosition();
  if (!position) return all?.hasEnd() ? 'end' : 'start';
  return { commit: Number(position.getCommitPosition()), prepare: Number(position.getPreparePosition()) };
}
