// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.content.Context;
import android.os.BatteryManager;
import android.os.Build;
import android.os.Debug;
import android.os.PowerManager;
import android.system.Os;
import android.system.OsConstants;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** What the device says of itself, for the benchmark's result. */
final class Device {
    private Device() {}

    /** JSON values: identity, memory in MB (10^6 bytes), page size in bytes, heat and battery. */
    static Map<String, Object> facts(Context context) {
        Debug.MemoryInfo memory = new Debug.MemoryInfo();
        Debug.getMemoryInfo(memory);
        BatteryManager battery = (BatteryManager) context.getSystemService(Context.BATTERY_SERVICE);
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("manufacturer", Build.MANUFACTURER);
        facts.put("device", Build.MODEL);
        facts.put("android", Build.VERSION.RELEASE);
        facts.put("api", (long) Build.VERSION.SDK_INT);
        facts.put("abis", Arrays.asList(Build.SUPPORTED_ABIS));
        facts.put("emulator", Build.HARDWARE.equals("ranchu") || Build.HARDWARE.equals("goldfish"));
        facts.put("page_bytes", Os.sysconf(OsConstants._SC_PAGESIZE));
        facts.put("pss_mb", memory.getTotalPss() * 1024 / 1e6);
        facts.put("native_heap_mb", Debug.getNativeHeapAllocatedSize() / 1e6);
        facts.put(
                "thermal_status",
                Build.VERSION.SDK_INT >= 29 ? (long) power.getCurrentThermalStatus() : -1L);
        facts.put("power_save", power.isPowerSaveMode());
        facts.put(
                "battery_percent",
                (long) battery.getIntProperty(BatteryManager.BATTERY_PROPERTY_CAPACITY));
        facts.put("charging", battery.isCharging());
        return facts;
    }
}
