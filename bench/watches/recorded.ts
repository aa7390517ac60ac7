/** When the log took in the first event of each stream, by the log's own clock, which is this machine's. */
import {
  EventFeedServiceClient,
  WatchEventsRequest,
  type WatchEventsResponse,
} from '../../src/gen/tallyback/feed/v1/event_feed_service.ts';
import { connect } from '../requests.ts';

async function read(
  address: string,
  resumeToken: string,
  until: (message: WatchEventsResponse) => boolean,
): Promise<void> {
  const feed = connect(EventFeedServiceClient, address);
  const watch = feed.watchEvents(WatchEventsRequest.fromPartial({ options: { resumeToken } }));
  await new Promise<void>((resolve, reject) => {
    watch.on('error', reject);
    watch.on('data', (message: WatchEventsResponse) => {
      if (until(message)) resolve();
    });
  });
  watch.cancel();
  feed.close();
}

/** Where the log ends now. */
export async function endOfLog(address: string): Promise<string> {
  let end = '';
  await read(address, '', ({ header, event }) => {
    end = header?.resumeToken ?? '';
    return event?.$case === 'caughtUp';
  });
  return end;
}

/** Milliseconds since 1970, rounded down as the log does, of all these streams. All have begun after `end`. */
export async function recordedAt(
  address: string,
  end: string,
  streams: ReadonlySet<string>,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  await read(address, end, ({ event }) => {
    for (const { stream, recordedAt: at } of event?.$case === 'changes' ? event.value.events : []) {
      if (at && streams.has(stream) && !found.has(stream)) found.set(stream, at.getTime());
    }
    return found.size === streams.size;
  });
  return found;
}
