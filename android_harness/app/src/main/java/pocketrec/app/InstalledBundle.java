// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.content.Context;
import android.content.pm.PackageManager;
import android.net.Uri;

import pocketrec.core.Bundle;
import pocketrec.core.Event;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.core.Recommender;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * The bundle that the app uses, in its folder, and the recommender on it; for one thread.
 */
final class InstalledBundle {
    private static final String USER = "harness";
    private static final String PICKED = "picked"; // where the bundle came from: the file picker

    private final Context context;
    private final ModelRuntime runtime;
    private Recommender recommender;

    /** The bundle, once {@link #opened} was called. */
    Bundle bundle;

    InstalledBundle(Context context, ModelRuntime runtime) {
        this.context = context;
        this.runtime = runtime;
    }

    /** Puts a bundle that the user picked, the .zip of one, in the place of the one in use. */
    void replace(Uri picked) throws PocketRecException, IOException {
        File file = new File(context.getCacheDir(), "picked.zip");
        try {
            copy(stream(picked), file);
            close();
            Bundle.unpack(file, folder());
        } finally {
            file.delete();
        }
        Files.write(origin().toPath(), PICKED.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * The recommender of the bundle that was picked last, or of the one inside the
     * app as it is installed now.
     */
    Recommender opened() throws PocketRecException, IOException {
        if (recommender == null) {
            String origin =
                    origin().exists()
                            ? new String(
                                    Files.readAllBytes(origin().toPath()), StandardCharsets.UTF_8)
                            : "";
            if (!folder().exists() || !(origin.equals(PICKED) || origin.equals(installed()))) {
                File archive = new File(context.getCacheDir(), "inside.zip");
                try {
                    copy(context.getAssets().open("bundle.zip"), archive);
                    Bundle.unpack(archive, folder());
                } finally {
                    archive.delete();
                }
                Files.write(origin().toPath(), installed().getBytes(StandardCharsets.UTF_8));
            }
            bundle = Bundle.open(folder());
            File state =
                    new File(
                            context.getFilesDir(),
                            bundle.manifest.modelId.substring(0, 16) + ".state");
            recommender = new Recommender(bundle, runtime, USER, state, 1);
        }
        return recommender;
    }

    void close() {
        if (recommender != null) {
            recommender.close();
            recommender = null;
        }
    }

    private File folder() {
        return new File(context.getFilesDir(), "bundle");
    }

    /** The file that says where the bundle came from. */
    private File origin() {
        return new File(context.getFilesDir(), "bundle.origin");
    }

    /** Names this installation of the app, so that a new one brings its own bundle. */
    private String installed() {
        try {
            String name = context.getPackageName();
            return "app " + context.getPackageManager().getPackageInfo(name, 0).lastUpdateTime;
        } catch (PackageManager.NameNotFoundException error) {
            throw new IllegalStateException(error); // this very app
        }
    }

    private InputStream stream(Uri picked) throws IOException {
        try {
            InputStream stream = context.getContentResolver().openInputStream(picked);
            if (stream == null) {
                throw new FileNotFoundException("what was picked is gone");
            }
            return stream;
        } catch (SecurityException error) {
            throw new IOException(error.getMessage(), error);
        }
    }

    /**
     * Events {@code from} to {@code to} of the made-up history; they come back to eight of the
     * popular items.
     */
    List<Event> madeUp(int from, int to) throws PocketRecException {
        int[] popular = bundle.popular();
        Random random = new Random(1);
        double start = bundle.manifest.cutOff == null ? 0 : bundle.manifest.cutOff;
        List<Event> events = new ArrayList<>();
        for (int place = 0; place < to; place++) {
            int row = popular[random.nextInt(Math.min(8, popular.length))];
            events.add(new Event(bundle.vocabulary.id(row), start + 60.0 * place));
        }
        return Collections.unmodifiableList(events.subList(from, to));
    }

    private static void copy(InputStream from, File to) throws IOException {
        byte[] chunk = new byte[1 << 16];
        try (InputStream in = from;
                FileOutputStream out = new FileOutputStream(to)) {
            int length;
            while ((length = in.read(chunk)) >= 0) {
                out.write(chunk, 0, length);
            }
        }
    }
}
