/** Ways through the log, one event after the other, that survive what is appended and scavenged meanwhile. */
import type { EventLog } from './log.ts';
import type { StoredEvent } from './stored-event.ts';
import type { Stream } from './stream.ts';

export interface Cursor {
  /** Undefined at the end, for now. */
  readonly peek: () => StoredEvent | undefined;
  readonly advance: () => void;
}

/** All streams, from the first event at or after a position. */
export function allForwards(log: EventLog, from: number): Cursor {
  let position = from;
  let index = log.indexFrom(position);
  let { generation } = log;
  const peek = (): StoredEvent | undefined => {
    if (generation !== log.generation) {
      index = log.indexFrom(position);
      ({ generation } = log);
    }
    return log.all[index];
  };
  const advance = (): void => {
    position = peek()?.end ?? position;
    index++;
  };
  return { peek, advance };
}

/** All streams, backwards from the last event that ends at or before a position: the one *at* it is not read. */
export function allBackwards(log: EventLog, from: number): Cursor {
  let position = from;
  let index = log.indexFrom(position) - 1;
  let { generation } = log;
  const peek = (): StoredEvent | undefined => {
    if (generation !== log.generation) {
      index = log.indexFrom(position) - 1;
      ({ generation } = log);
    }
    return log.all[index];
  };
  const advance = (): void => {
    position = peek()?.position ?? position;
    index--;
  };
  return { peek, advance };
}

/** What is visible of a stream, from a revision. */
export function streamForwards(log: EventLog, name: string, from: number): Cursor {
  let revision = from;
  const visible = (): Stream | undefined => {
    const stream = log.stream(name);
    // Of a soft-deleted stream nothing is visible until it is written to again.
    return stream && !stream.isSoftDeleted ? stream : undefined;
  };
  const peek = (): StoredEvent | undefined => {
    const stream = visible();
    if (stream) revision = Math.max(revision, stream.firstVisible(log.now()));
    return stream?.at(revision);
  };
  return {
    peek,
    advance: () => {
      revision++;
    },
  };
}

export function streamBackwards(log: EventLog, stream: Stream, from: number): Cursor {
  let revision = Math.min(from, stream.lastRevision);
  const first = stream.firstVisible(log.now());
  return {
    peek: () => (revision < first ? undefined : stream.at(revision)),
    advance: () => {
      revision--;
    },
  };
}
