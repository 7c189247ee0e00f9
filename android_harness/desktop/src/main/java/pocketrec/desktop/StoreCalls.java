// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Event;
import pocketrec.core.HistoryStore;
import pocketrec.core.PocketRecException;
import pocketrec.store.Database;
import pocketrec.store.EventStore;
import pocketrec.store.Repair;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The calls of {@link Serve} on event stores. */
final class StoreCalls {
    private final Database.Opener opener = new JdbcDatabases();
    private final Map<Long, EventStore> stores = new HashMap<>();

    void addTo(Map<String, Serve.Call> calls) {
        calls.put("store.open", this::open);
        calls.put("store.append", given -> at(given).append(events(given.list(1))));
        calls.put("store.replay", given -> replayed(at(given).replay(given.number(1))));
        calls.put("store.size", given -> at(given).size());
        calls.put("store.identity", given -> at(given).identity());
        calls.put("store.keep", given -> at(given).keep());
        calls.put("store.dropped", given -> at(given).dropped());
        calls.put("store.sealed", given -> at(given).sealed());
        calls.put("store.read_only", given -> at(given).readOnly());
        calls.put("store.retain_newest", given -> at(given).retainNewest(given.number(1)));
        calls.put("store.retain_since", given -> at(given).retainSince(given.real(1)));
        calls.put("store.forget", given -> at(given).forget(events(given.list(1))));
        calls.put("store.forget_all", given -> at(given).forgetAll());
        calls.put("store.export", given -> at(given).export(given.file(1)));
        calls.put("store.close", this::close);
        calls.put("store.wipe", given -> names(EventStore.wipe(given.file(0), opener)));
        calls.put("store.repair", this::repair);
    }

    private EventStore at(Serve.Arguments given) {
        return stores.get(given.number(0));
    }

    private Object open(Serve.Arguments given) throws PocketRecException {
        File path = given.file(0);
        EventStore store =
                Boolean.FALSE.equals(given.at(1))
                        ? EventStore.openExisting(path, opener, given.bytes(2))
                        : EventStore.open(path, opener, given.bytes(2));
        long number = stores.size() + 1;
        stores.put(number, store);
        return number;
    }

    private Object close(Serve.Arguments given) {
        at(given).close();
        return null;
    }

    private Object repair(Serve.Arguments given) throws PocketRecException {
        Repair.Repaired repaired = EventStore.repair(given.file(0), opener, given.bytes(1));
        return Arrays.asList(repaired.saved, repaired.lost, repaired.kept.toString());
    }

    private static Object replayed(HistoryStore.Replayed replayed) {
        List<Object> rows = new ArrayList<>();
        for (int place = 0; place < replayed.ids.size(); place++) {
            Event event = replayed.events.get(place);
            rows.add(
                    Arrays.asList(replayed.ids.get(place), event.item, event.time, event.category));
        }
        return rows;
    }

    /** Events of lists of item, time (or null) and category (or nothing). */
    static List<Event> events(List<?> given) {
        List<Event> events = new ArrayList<>();
        for (Object one : given) {
            List<?> fields = (List<?>) one;
            String item = (String) fields.get(0);
            Object time = fields.size() > 1 ? fields.get(1) : null;
            Event event =
                    time == null ? new Event(item) : new Event(item, ((Number) time).doubleValue());
            events.add(fields.size() > 2 ? event.ofCategory((String) fields.get(2)) : event);
        }
        return events;
    }

    static List<String> names(List<File> files) {
        List<String> names = new ArrayList<>();
        for (File file : files) {
            names.add(file.toString());
        }
        return names;
    }
}
