package com.example.app

import android.Manifest
import androidx.activity.compose.rememberLauncherForActivityResult
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia
import androidx.compose.foundation.layout.Arrangement
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.rememberScrollState
import androidx.compose.foundation.verticalScroll
import androidx.compose.material3.Button
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Scaffold
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.res.stringResource
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import androidx.lifecycle.viewmodel.compose.viewModel
import com.example.app.model.Contract

@Composable
fun MainScreen(model: MainViewModel = viewModel()) {
    val state by model.state.collectAsStateWithLifecycle()
    Scaffold { insets ->
        Column(
            modifier = Modifier.padding(insets).padding(16.dp).fillMaxSize().verticalScroll(rememberScrollState()),
            verticalArrangement = Arrangement.spacedBy(12.dp),
        ) {
            Text(text = Contract.NAME, style = MaterialTheme.typography.headlineSmall)
            Text(text = state.about ?: stringResource(R.string.loading), style = MaterialTheme.typography.bodySmall)
            if (state.about != null) {
                if (Contract.PICTURE != null) PictureButtons(model) else ZerosButton(model)
                Answers(state)
                Button(onClick = model::export) { Text(stringResource(R.string.export_monitoring)) }
                state.exported?.let { Text(stringResource(R.string.exported, it)) }
            }
            state.problem?.let { Text(text = it, color = MaterialTheme.colorScheme.error) }
        }
    }
}

@Composable
private fun PictureButtons(model: MainViewModel) {
    var live by rememberSaveable { mutableStateOf(false) }
    var denied by rememberSaveable { mutableStateOf(false) }
    val permission = rememberLauncherForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
        live = granted
        denied = !granted
    }
    val picker = rememberLauncherForActivityResult(PickVisualMedia()) { uri -> uri?.let(model::pick) }
    Row(horizontalArrangement = Arrangement.spacedBy(12.dp)) {
        Button(onClick = { picker.launch(PickVisualMediaRequest(PickVisualMedia.ImageOnly)) }) {
            Text(stringResource(R.string.pick_picture))
        }
        Button(onClick = { if (live) live = false else permission.launch(Manifest.permission.CAMERA) }) {
            Text(stringResource(if (live) R.string.stop_camera else R.string.use_camera))
        }
    }
    if (denied) Text(stringResource(R.string.no_camera))
    if (live) CameraView(onFrame = model::show)
}

@Composable
private fun ZerosButton(model: MainViewModel) {
    Button(onClick = model::runOnZeros) { Text(stringResource(R.string.run_zeros)) }
}

@Composable
private fun Answers(state: UiState) {
    state.milliseconds?.let { Text(stringResource(R.string.milliseconds, it)) }
    for (line in state.lines) {
        Row(modifier = Modifier.fillMaxWidth(), horizontalArrangement = Arrangement.SpaceBetween) {
            Text(line.text)
            line.score?.let { Text(stringResource(R.string.score, it)) }
        }
    }
}
