// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Bundle;
import pocketrec.core.PocketRecException;
import pocketrec.pull.Limits;
import pocketrec.pull.Patience;
import pocketrec.pull.Pull;
import pocketrec.pull.PullOptions;
import pocketrec.pull.Pulled;
import pocketrec.pull.Tasks;
import pocketrec.pull.Versions;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The calls of {@link Serve} on folders of versions. */
final class PullCalls {
    void addTo(Map<String, Serve.Call> calls) {
        calls.put("pull", this::pull);
        calls.put("pull_tasks", this::pullTasks);
        calls.put("rollback", given -> Pull.rollback(given.file(0)).toString());
        calls.put("resolve", given -> Versions.resolve(given.file(0)).toString());
        calls.put("forget_user", given -> Versions.forgetUser(given.file(0), given.text(1)));
        calls.put("open_bundle", this::openBundle);
    }

    private Object openBundle(Serve.Arguments given) throws PocketRecException {
        Bundle bundle = Bundle.open(Versions.resolve(given.file(0)));
        bundle.checkShards();
        return bundle.folder.toString();
    }

    /** Address, folder, and a table of options. */
    private Object pull(Serve.Arguments given) throws PocketRecException {
        Map<?, ?> told = (Map<?, ?>) given.at(2);
        PullOptions options =
                PullOptions.DEFAULT
                        .withUsers(texts(told.get("users")))
                        .withKey((String) told.get("key"))
                        .allowOlder(Boolean.TRUE.equals(told.get("older")))
                        .withNow(((Number) told.get("now")).doubleValue());
        Map<?, ?> patience = (Map<?, ?>) told.get("patience");
        if (patience != null) {
            options =
                    options.withPatience(
                            Patience.DEFAULT
                                    .withTimeout(real(patience.get("timeout")))
                                    .withSlowest(real(patience.get("slowest")))
                                    .withAttempts((int) real(patience.get("attempts")))
                                    .withPause(real(patience.get("pause"))));
        }
        Map<?, ?> limits = (Map<?, ?>) told.get("limits");
        if (limits != null) {
            options =
                    options.withLimits(
                            Limits.DEFAULT
                                    .withTotal((Long) limits.get("total"))
                                    .withModel((Long) limits.get("model")));
        }
        Pulled pulled = Pull.pull(given.text(0), given.file(1), options);
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("folder", pulled.folder.toString());
        result.put("serial", pulled.serial);
        result.put("new", pulled.isNew);
        result.put("received", pulled.received);
        result.put("reason", pulled.reason);
        result.put("notes", pulled.notes);
        return result;
    }

    /** Folder, names of tasks, and whether older patches will do. */
    private Object pullTasks(Serve.Arguments given) throws PocketRecException {
        PullOptions options =
                PullOptions.DEFAULT
                        .allowOlder(Boolean.TRUE.equals(given.at(2)))
                        .withPatience(Patience.DEFAULT.withTimeout(5).withPause(0));
        return Tasks.pull(given.file(0), texts(given.list(1)), options);
    }

    private static double real(Object value) {
        return ((Number) value).doubleValue();
    }

    private static List<String> texts(Object list) {
        List<String> texts = new ArrayList<>();
        for (Object one : (List<?>) list) {
            texts.add((String) one);
        }
        return texts;
    }
}
