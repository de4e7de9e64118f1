/** VMDq pools of network controllers. No sysfs file tells them: they are limits of the Linux drivers. */

/** vendor 8086; device ids as the drivers list them. */
const pools: readonly { readonly controller: string; readonly pools: number; readonly devices: readonly string[] }[] = [
  { controller: '82576', pools: 8, devices: ['10c9', '10e6', '10e7', '10e8', '1526', '150a', '1518', '150d'] },
  { controller: '82580', pools: 8, devices: ['150e', '150f', '1510', '1511', '1516', '1527'] },
  { controller: 'I350', pools: 8, devices: ['1521', '1522', '1523', '1524', '1546'] },
  { controller: '82598', pools: 16, devices: ['10b6', '10c6', '10c7', '10c8', '10e1', '10f1', '10f4', '1508', '150b', '10db', '10dd', '10ec'] },
  {
    controller: '82599, X540 or X550',
    pools: 64,
    devices: [
      '10f7', '10f8', '10f9', '10fb', '10fc', '1507', '1514', '1517', '151c', '1528', '1529', '152a', '154a', '154d', '154f',
      '1557', '1560', '1563', '15aa', '15ab', '15ac', '15ad', '15ae', '15b0', '15d1', '15c2', '15c3', '15c4', '15c6', '15c7',
      '15c8', '15c9', '15ca', '15cb', '15cc', '15cd', '15ce', '15e4', '15e5',
    ],
  },
  {
    controller: 'X710 or XL710',
    pools: 64,
    devices: [
      '0cf8', '0d58', '0dd2', '0dda', '101f', '1572', '1580', '1581', '1582', '1583', '1584', '1585', '1586', '1587', '1588',
      '1589', '158a', '158b', '15ff', '104e', '104f',
    ],
  },
  { controller: 'X722', pools: 64, devices: ['37ce', '37cf', '37d0', '37d1', '37d2', '37d3'] },
];

/** The driver's limit for a function, or undefined for a controller that has none. Ids as sysfs prints them (0x8086). */
export function vmdqPools(vendorId: string, deviceId: string): { controller: string; pools: number } | undefined {
  if (vendorId !== '0x8086') return undefined;
  const row = pools.find(({ devices }) => devices.includes(deviceId.replace(/^0x/, '')));
  return row === undefined ? undefined : { controller: row.controller, pools: row.pools };
}
