/**
 * VMDq pools of Intel's network controllers, and what virtual functions leave of them. No sysfs file tells the pools: they
 * are limits of the controllers as their Linux drivers use them.
 */

export interface VmdqLimit {
  readonly controller: string;
  /** Pools of a port. */
  readonly pools: number;
  /** Receive queues that pools and virtual functions share; null where firmware shares them out among ports. */
  readonly queues: number | null;
  /**
   * How many of the pools are still free beside these virtual functions: each takes one, and so does the physical function.
   * Null where firmware shares them out.
   */
  readonly left: number | null;
  /** How Linux offers the pools to guests; null where its driver uses them for virtual functions alone. */
  readonly offer: string | null;
}

interface Row extends Omit<VmdqLimit, 'left'> {
  /** Device ids, vendor 8086: of the drivers' tables in Linux 6.12, and others that their headers name. */
  readonly devices: string;
}

const macvlan = 'macvlan offload: ethtool -K PORT l2-fwd-offload on';

const rows: readonly Row[] = [
  // igb: its switch l2-fwd-offload is fixed to off.
  {
    controller: '82576',
    pools: 8,
    queues: 16,
    offer: null,
    devices: '10c9 10e6 10e7 10e8 150a 150d 1518 1526',
  },
  { controller: '82580', pools: 8, queues: 8, offer: null, devices: '150e 150f 1510 1511 1516 1527' },
  { controller: 'I350', pools: 8, queues: 8, offer: null, devices: '1521 1522 1523 1524 1546' },
  // ixgbe: IXGBE_MAX_VMDQ_INDICES, IXGBE_MAX_VF_FUNCTIONS.
  {
    controller: '82598',
    pools: 16,
    queues: 64,
    offer: null,
    devices: '10b6 10c6 10c7 10c8 10db 10dd 10e1 10ec 10f1 10f4 1508 150b',
  },
  {
    controller: '82599, X540 or X550',
    pools: 64,
    queues: 128,
    offer: macvlan,
    devices:
      '10f7 10f8 10f9 10fb 10fc 1507 1514 1517 151c 1528 1529 152a 154a 154d 154f 1557 1558 1560 1563 15aa 15ab 15ac ' +
      '15ad 15ae 15b0 15c2 15c3 15c4 15c6 15c7 15c8 15c9 15ca 15cb 15cc 15cd 15ce 15d1 15e4 15e5',
  },
  { controller: 'FM10K', pools: 32, queues: 256, offer: macvlan, devices: '15a4 15d0 15d5' },
  // i40e: I40E_DEFAULT_NUM_VMDQ_VSI are kept for VMDq; firmware gives each port its VSIs and queue pairs.
  {
    controller: 'X710 or XL710',
    pools: 64,
    queues: null,
    offer: macvlan,
    devices:
      '0cf8 0d58 0dd2 0dda 101f 104e 104f 1572 1574 1580 1581 1582 1583 1584 1585 1586 1587 1588 1589 158a 158b 15ff',
  },
  { controller: 'X722', pools: 64, queues: null, offer: macvlan, devices: '37ce 37cf 37d0 37d1 37d2 37d3' },
];

const byDevice = new Map(rows.flatMap((row) => row.devices.split(' ').map((device) => [device, row])));

/**
 * Undefined for a controller that has none.
 *
 * @param vendorId as sysfs prints it (0x8086), and so `deviceId`
 * @param enabledVfs virtual functions that exist
 */
export function vmdqLimit(vendorId: string, deviceId: string, enabledVfs: number): VmdqLimit | undefined {
  const row = vendorId === '0x8086' ? byDevice.get(deviceId.replace(/^0x/, '')) : undefined;
  if (row === undefined) return undefined;
  const { controller, pools, queues, offer } = row;
  return { controller, pools, queues, offer, left: queues === null ? null : Math.max(0, pools - 1 - enabledVfs) };
}
