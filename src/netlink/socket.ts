/** A conversation with the kernel over netlink: a request, its answers, and its error as a KernelError. */
import { getSystemErrorName } from 'node:util';
import { KernelError } from '../errors.ts';
import type { NativeNetlinkSocket } from '../native/contract.ts';
import { loadAddon } from '../native/load.ts';
import { acknowledgement, decode, encode, flag, type Message, messageType } from './message.ts';

export interface Request {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  /** For errors: `RTM_SETLINK`. */
  readonly operation: string;
}

/** linux/netlink.h: NETLINK_ROUTE, NETLINK_GENERIC. */
export const protocol = { route: 0, generic: 16 } as const;

export class NetlinkSocket implements Disposable {
  readonly #native: NativeNetlinkSocket;
  #sequence = 0;

  /** @param native another than the kernel's, for tests */
  constructor(number: number = protocol.route, native?: NativeNetlinkSocket) {
    this.#native = native ?? KernelError.guard(() => new (loadAddon().NetlinkSocket)(number));
  }

  /**
   * Asks, and waits for the end of the answer: an acknowledgement, or the end of a dump.
   * @throws KernelError with the kernel's own words, where it has any
   */
  ask({ type, flags, payload, operation }: Request): Message[] {
    const sequence = ++this.#sequence;
    const answers: Message[] = [];
    return KernelError.guard(() => {
      this.#native.send(encode({ type, flags: flags | flag.request | flag.ack, sequence, payload }));
      for (;;) {
        for (const message of decode(this.#native.receive())) {
          if (message.sequence !== sequence) continue;
          if (message.type === messageType.done) return answers;
          if (message.type !== messageType.error) {
            answers.push(message);
            continue;
          }
          const { errno, said } = acknowledgement(message);
          if (errno !== 0) throw kernelError(errno, said, operation);
          return answers;
        }
      }
    });
  }

  close(): void {
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function kernelError(errno: number, said: string | null, operation: string): KernelError {
  const code = getSystemErrorName(-errno);
  const words = said === null ? '' : `: ${said}`;
  return new KernelError(`${operation}: ${code}${words}`, { code, errno: -errno, syscall: 'netlink', operation });
}
