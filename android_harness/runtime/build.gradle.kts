plugins {
    alias(libs.plugins.android.library)
}

// -Pruntime=litert: LiteRT, which has the same Java interface, in TensorFlow Lite's place.
val runtime = providers.gradleProperty("runtime").get()

android {
    namespace = "pocketrec.runtime"
    compileSdk = libs.versions.targetSdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.minSdk.get().toInt()
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

dependencies {
    api(project(":core"))
    api(project(":store"))
    when (runtime) {
        "tensorflow-lite" -> implementation(libs.tensorflow.lite)
        "litert" -> implementation(libs.litert)
        else -> error("-Pruntime=$runtime: name tensorflow-lite or litert")
    }
}
