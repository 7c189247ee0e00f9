plugins {
    alias(libs.plugins.android.application)
}

// -Pbundle=my-bundle.zip: the bundle that the app brings.
val bundle = providers.gradleProperty("bundle").orElse("../../build/android/reference.zip")

// -Pruntime=litert: LiteRT instead of TensorFlow Lite; results name it.
val runtime = providers.gradleProperty("runtime").get()

val packBundle by tasks.registering(Copy::class) {
    from(bundle.map { rootProject.file(it) })
    into(layout.buildDirectory.dir("bundle"))
    rename { "bundle.zip" }
}

android {
    namespace = "pocketrec.app"
    compileSdk = libs.versions.targetSdk.get().toInt()

    defaultConfig {
        applicationId = "pocketrec.app"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = 1
        versionName = libs.versions.app.get()
        buildConfigField("String", "RUNTIME", "\"${runtime.replace('-', '_')}\"")
        testInstrumentationRunner = "androidx.test.runner.AndroidJUnitRunner"
    }

    buildFeatures {
        buildConfig = true
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }

    buildTypes {
        release {
            isMinifyEnabled = false
            signingConfig = signingConfigs.getByName("debug") // a harness is not published
        }
    }

    testBuildType = "release" // what is measured is what is built

    androidResources {
        noCompress += "zip"
    }

    sourceSets.getByName("main").assets.srcDir(layout.buildDirectory.dir("bundle"))
}

tasks.matching { it.name == "preBuild" }.configureEach {
    dependsOn(packBundle)
}

dependencies {
    implementation(project(":core"))
    implementation(project(":runtime"))
    implementation(project(":jobs"))
    androidTestImplementation(libs.junit4)
    androidTestImplementation(libs.androidx.test.runner)
}
