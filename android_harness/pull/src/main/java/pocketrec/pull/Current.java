// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.BundleException;
import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.Storage;
import pocketrec.core.StorageException;
import pocketrec.core.Table;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The content of current.json: the version in use, the one before it, where they come from. */
final class Current {
    static final String FILE = "current.json";

    /** The same, written first: what is used where current.json is lost or damaged. */
    static final String COPY = "current.copy.json";

    String current = ""; // name of the version in use; "" = none
    String previous = ""; // of the one before it
    long serial; // largest number of a release that was installed from the address
    String url = ""; // where it was pulled from
    String etag = ""; // of latest.json when there was nothing left to fetch; "" = unknown
    String key = ""; // that is pinned; "" = none
    List<String> users = new ArrayList<>(); // whose candidates are wanted
    String refused = ""; // version that was rolled back from, and is not installed again

    List<String> tasks = new ArrayList<>(); // whose patches are wanted with every version

    Current copy() {
        Current copy = new Current();
        copy.current = current;
        copy.previous = previous;
        copy.serial = serial;
        copy.url = url;
        copy.etag = etag;
        copy.key = key;
        copy.users = new ArrayList<>(users);
        copy.refused = refused;
        copy.tasks = new ArrayList<>(tasks);
        return copy;
    }

    boolean same(Current other) {
        return table().equals(other.table());
    }

    /**
     * Replaces the copy and then current.json, each in one step, readable by their owner only.
     *
     * @throws StorageException one cannot be written; the version in use is as it was, or this one
     */
    void write(File folder) throws StorageException {
        for (String name : new String[] {COPY, FILE}) {
            File file = new File(folder, name);
            Storage.sweep(file, 3_600_000);
            Storage.writeAtomic(file, Json.document(table()), null);
        }
    }

    private Map<String, Object> table() {
        Map<String, Object> table = new LinkedHashMap<>();
        table.put("current", current);
        table.put("previous", previous);
        table.put("serial", serial);
        table.put("url", url);
        table.put("etag", etag);
        table.put("key", key);
        table.put("users", users);
        table.put("refused", refused);
        table.put("tasks", tasks);
        return table;
    }

    static boolean isThere(File folder) {
        return new File(folder, FILE).exists() || new File(folder, COPY).exists();
    }

    /**
     * The content of current.json, or of its copy where it is lost or damaged; null where there is
     * neither.
     *
     * @throws BundleException neither can be read, and one is there
     */
    static Current read(File folder) throws BundleException {
        BundleException problem = null;
        for (String name : new String[] {FILE, COPY}) {
            File file = new File(folder, name);
            String told;
            try {
                return parse(Storage.read(file));
            } catch (FileNotFoundException | NoSuchFileException error) {
                continue;
            } catch (IOException error) {
                if (!folder.isDirectory()) {
                    continue;
                }
                told = "cannot be read (" + Storage.reason(error) + ")";
            } catch (JsonException error) {
                told = "is damaged (" + error.getMessage() + ")";
            }
            String advice = ": fetch it again with the address; keys and versions are kept";
            problem = problem == null ? new BundleException(file + " " + told + advice) : problem;
        }
        if (problem != null) {
            throw problem;
        }
        return null;
    }

    private static Current parse(byte[] content) throws JsonException {
        Table table = Table.of(Json.parse(content), "it");
        Current current = new Current();
        current.current = version(table, "current");
        current.previous = version(table, "previous");
        current.refused = version(table, "refused");
        current.serial = table.has("serial") ? table.wholeLong("serial", Long.MIN_VALUE) : 0;
        current.url = table.text("url", "");
        current.etag = table.text("etag", "");
        current.key = table.text("key", "");
        for (Object user : table.list("users")) {
            if (!(user instanceof String)) {
                throw new JsonException("users is not a list of texts");
            }
            current.users.add((String) user);
        }
        for (Object task : table.has("tasks") ? table.list("tasks") : new ArrayList<>()) {
            if (!(task instanceof String)) {
                throw new JsonException("tasks is not a list of texts");
            }
            current.tasks.add((String) task);
        }
        return current;
    }

    private static String version(Table table, String name) throws JsonException {
        String version = table.text(name, "");
        if (!version.isEmpty() && !version.matches("[0-9A-Za-z]{16}")) {
            throw new JsonException("'" + version + "' is not the name of a version");
        }
        return version;
    }
}
