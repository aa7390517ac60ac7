/** The shape that all watches' messages have: tallyback/common/v1/watch.proto. */
import type {
  CaughtUp,
  FellBehind,
  Heartbeat,
  Reset,
  SnapshotCompleted,
  SnapshotStarted,
  WatchHeader,
} from '../gen/tallyback/common/v1/watch.ts';

export interface WatchMessage<Changes> {
  header: WatchHeader | undefined;
  event:
    | { $case: 'snapshotStarted'; value: SnapshotStarted }
    | { $case: 'changes'; value: Changes }
    | { $case: 'snapshotCompleted'; value: SnapshotCompleted }
    | { $case: 'caughtUp'; value: CaughtUp }
    | { $case: 'heartbeat'; value: Heartbeat }
    | { $case: 'reset'; value: Reset }
    | { $case: 'fellBehind'; value: FellBehind }
    | undefined;
}
