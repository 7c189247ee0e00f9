// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

/** The tests for a device, on a JVM. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35, application = LayoutTest.OnJvm.class)
public class OnJvmTest extends OnDeviceTest {}
