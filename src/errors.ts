/** Every error class of vtkit. Misuse before native code is entered is a TypeError, a RangeError or a UsageError. */

/** The API was used in an order or a way that it does not have. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly code = 'ERR_VTKIT_USAGE';
  readonly hint: string | undefined;
  constructor(message: string, options: ErrorOptions & { hint?: string } = {}) {
    super(message, options);
    this.hint = options.hint;
  }
}

interface KernelErrorDetails {
  readonly code: string;
  /** Negative, as in Node's SystemError. */
  readonly errno: number;
  readonly syscall: string;
  /** The ioctl or call that failed: `KVM_CREATE_VM`, `open`. */
  readonly operation: string;
  readonly path?: string | undefined;
  readonly hint?: string | undefined;
}

/** A system call failed. The shape of Node's SystemError, with the operation and, where one is known, a hint. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly operation: string;
  readonly path: string | undefined;
  readonly hint: string | undefined;
  constructor(message: string, details: KernelErrorDetails, options?: ErrorOptions) {
    super(message, options);
    this.code = details.code;
    this.errno = details.errno;
    this.syscall = details.syscall;
    this.operation = details.operation;
    this.path = details.path;
    this.hint = details.hint;
  }

  /** The KernelError for what native code threw; any other value comes back as it is. */
  static from(error: unknown, hint?: string): unknown {
    if (!(error instanceof Error) || !('operation' in error) || !('errno' in error)) return error;
    const details = error as Error & KernelErrorDetails;
    return new KernelError(error.message, { ...pick(details), hint }, { cause: error });
  }

  /** Calls into native code, whose failed system calls become KernelErrors. */
  static guard<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw KernelError.from(error);
    }
  }
}

function pick({ code, errno, syscall, operation, path }: KernelErrorDetails): KernelErrorDetails {
  return { code, errno, syscall, operation, path };
}

/** A conclusive no: this host, platform or backend does not have what was asked for. */
export class NotSupportedError extends Error {
  override readonly name = 'NotSupportedError';
  readonly code = 'ERR_VTKIT_NOT_SUPPORTED';
  /** What would be needed. */
  readonly requires: string;
  readonly hint: string | undefined;
  constructor(message: string, options: ErrorOptions & { requires: string; hint?: string }) {
    super(message, options);
    this.requires = options.requires;
    this.hint = options.hint;
  }
}

/** A file, table or dump that is not what it should be. */
export class CorruptInputError extends Error {
  override readonly name = 'CorruptInputError';
  readonly code = 'ERR_VTKIT_CORRUPT_INPUT';
  readonly file: string | undefined;
  /** Byte offset, where the input is binary. */
  readonly offset: number | undefined;
  /** Line from 1, where the input is text. */
  readonly line: number | undefined;
  readonly expected: string | undefined;
  readonly hint: string | undefined;
  constructor(
    message: string,
    options: ErrorOptions & { file?: string; offset?: number; line?: number; expected?: string; hint?: string } = {},
  ) {
    super(message, options);
    this.file = options.file;
    this.offset = options.offset;
    this.line = options.line;
    this.expected = options.expected;
    this.hint = options.hint;
  }
}

/** A VM entry that the processor refused before it looked at the guest: VMfailValid (SDM Vol. 3C, 31.2). */
export class VmEntryError extends Error {
  override readonly name = 'VmEntryError';
  readonly code = 'ERR_VTKIT_VM_ENTRY';
  /** The VM-instruction error number (SDM Vol. 3C, 31.4). */
  readonly number: number;
  /** The checks that the VMCS breaks, as far as it tells by itself: the first is what the processor met. */
  readonly problems: readonly {
    readonly id: string;
    readonly section: string;
    readonly says: string;
    readonly fields: readonly { readonly field: string; readonly value: bigint }[];
  }[];
  constructor(message: string, number: number, problems: VmEntryError['problems']) {
    super(message);
    this.number = number;
    this.problems = problems;
  }
}

/** A run that is replayed does something else than the one that was recorded. */
export class ReplayError extends Error {
  override readonly name = 'ReplayError';
  readonly code = 'ERR_VTKIT_REPLAY';
  /** How many instructions were retired where it was seen. */
  readonly instructions: bigint;
  constructor(message: string, instructions: bigint) {
    super(message);
    this.instructions = instructions;
  }
}

/** The guest went where nothing goes on: a triple fault, a failed VM entry, an instruction that is not known. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly code = 'ERR_VTKIT_GUEST';
  /** General registers at the crash. */
  readonly registers: Readonly<Record<string, bigint>>;
  /** Where: linear address, the bytes there as far as they could be read, and what they say in Intel syntax. */
  readonly place:
    | {
        readonly rip: bigint;
        readonly linear: bigint;
        readonly bytes: Uint8Array;
        readonly instruction: string | undefined;
      }
    | undefined;
  constructor(
    message: string,
    options: ErrorOptions & { registers: Readonly<Record<string, bigint>>; place?: GuestError['place'] },
  ) {
    super(message, options);
    this.registers = options.registers;
    this.place = options.place;
  }
}
