/** Registers of the Intel 82576 and their fields (82576EB Gigabit Ethernet Controller Datasheet; its section at each). */

/** Of the port itself: BAR 0 of the physical function. */
export const port = {
  CTRL: 0x0000, // 8.2.1 device control
  STATUS: 0x0008, // 8.2.2 device status
  MDIC: 0x0020, // 8.2.4 registers of the PHY
  RCTL: 0x0100, // 8.10.1 receive control
  VFRE: 0x0c8c, // 8.14 pools that may receive
  RAL: 0x5400, // 8.10 receive addresses: low and high words of 16, eight bytes apart
  RAH: 0x5404,
  MRQC: 0x5818, // 8.10 what sorts frames to queues
  VT_CTL: 0x581c, // 8.14 sorting to pools
  VMOLR: 0x5ad0, // 8.14 what a pool takes, four bytes apart
  queues: { receive: 0xc000, stride: 0x40 },
} as const;

/** Of a virtual function: BAR 0 (8.26). */
export const virtualFunction = {
  CTRL: 0x0000,
  mailbox: 0x0c40,
  mailboxMemory: 0x0800,
  queues: { receive: 0x2800, transmit: 0x3800 },
} as const;

/** Of a queue, from its first register on: receive queues 8.10.2 to 8.10.10, transmit queues 8.12. */
export const queue = {
  BAL: 0x00, // base address, low and high word
  BAH: 0x04,
  LEN: 0x08,
  SRRCTL: 0x0c, // receive queues only
  HEAD: 0x10,
  TAIL: 0x18,
  CTL: 0x28, // RXDCTL, TXDCTL
} as const;

export const CTRL = { setLinkUp: 1 << 6, reset: 1 << 26 } as const;
/** The PHY is at address 1; its register 0 is BMCR (IEEE 802.3, 22.2.4.1). */
export const MDIC = { phy: 1 << 21, write: 1 << 26, ready: 1 << 28 } as const;
export const BMCR = { restartNegotiation: 1 << 9, negotiate: 1 << 12 } as const;
export const STATUS = { linkUp: 1 << 1 } as const;
export const RCTL = { enable: 1 << 1, acceptBroadcast: 1 << 15, stripCrc: 1 << 26 } as const;
export const RAH = { valid: 1 << 31, firstPool: 18 } as const;
/** Queue n belongs to pool n. */
export const MRQC = { vmdq: 3 } as const;
export const VT_CTL = { noDefaultPool: 1 << 29, replicate: 1 << 30 } as const;
export const VMOLR = { acceptUntagged: 1 << 24, acceptBroadcast: 1 << 27 } as const;
/** Advanced descriptors with one buffer, of so many KiB; frames are dropped where no descriptor is free. */
export const SRRCTL = { kib: 2, oneBuffer: 1 << 25, drop: 1 << 31 } as const;
export const DCTL = { enable: 1 << 25 } as const;

/** Of a virtual function's mailbox; status bits end when they are read. */
export const mailbox = {
  request: 1 << 0,
  acknowledge: 1 << 1,
  ours: 1 << 2,
  message: 1 << 4,
  resetDone: 1 << 7,
} as const;

/** First words of messages, as Linux' igb has them: the datasheet leaves them to software. */
export const message = { reset: 1, done: 1 << 31 } as const;

/** Advanced transmit descriptors of data (7.2.2.3): a frame in one buffer, with its CRC added. */
export const transmit = {
  data: 3 << 20,
  endOfFrame: 1 << 24,
  addCrc: 1 << 25,
  report: 1 << 27,
  advanced: 1 << 29,
  payloadShift: 14,
} as const;
export const descriptorDone = 1;
